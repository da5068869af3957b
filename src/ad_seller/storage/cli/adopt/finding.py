"""What `adopt` reports about one place of a checkout."""

from __future__ import annotations

from dataclasses import dataclass

from ad_seller.storage.operations import RULES as DOCTOR_RULES


@dataclass(frozen=True, slots=True, order=True)
class Finding:
    """A place that the reader should look at.

    Attributes:
        rule: the kind, e.g. ``newest-keys``; `RULES` says why it matters and what to do.
        file: relative to the checkout.
        line: counted from 1.
        text: what stands there.
    """

    rule: str
    file: str
    line: int
    text: str

    def as_dict(self) -> dict[str, object]:
        """Return it for JSON, with its reason and its cure."""
        why, cure = RULES[self.rule]
        place = {"rule": self.rule, "file": self.file, "line": self.line, "text": self.text}
        return {**place, "why": why, "cure": cure}


#: Each kind: why it matters, what to do. What settings say is known to `doctor`, too.
RULES: dict[str, tuple[str, str]] = {
    **{name: (rule.why, rule.step) for name, rule in DOCTOR_RULES.items()},
    "newest-keys": (
        (
            "The last N of a listing are taken for the newest. keys() is sorted by key here; only older SQLite "
            "backends gave the order of insertion, Redis never did."
        ),
        "Sort by a time that stands in the records, or keep an index of ids in the order of adding.",
    ),
    "read-change-write": (
        "A record is read, changed and written back: two requests at once lose a change, here as before.",
        "update() or update_x() for one record, transact() for several: docs/moving-in.md shows each place.",
    ),
    "own-idempotency": (
        "Idempotency records of the agent's own: two requests at once both find none, and both do the work.",
        "run_once(scope, key, ...); with legacy= it also answers repeats of what the older code has served.",
    ),
    "ttl-zero": (
        "A TTL of 0 meant 'for ever' in older backends; here it is an InvalidTTLError.",
        "Leave ttl out, or give None.",
    ),
    "pattern-class": (
        "[...] in a pattern was a class on Redis and literal on SQLite; here it is a class everywhere.",
        "Put a backslash before [ where it is meant literally.",
    ),
    "quotes-by-buyer": (
        "list_quotes() of older agents ignores the filter 'buyer_id'; here it counts.",
        "Check that the listing is meant to hold this buyer's quotes only.",
    ),
    "own-backend": (
        "A backend of the agent's own. Its seven methods are enough; what is atomic is so within one process.",
        "ad-seller-storage conform MODULE:CLASS says what it promises.",
    ),
    "code-unreadable": (
        "This file is no Python that this interpreter can parse; it was not looked at.",
        "Look at it by hand, or run adopt with the agent's own Python.",
    ),
}
