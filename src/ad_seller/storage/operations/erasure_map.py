"""What is done with the entries of one buyer, as data: a declared map of prefixes."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, fields
from functools import partial
from itertools import combinations
from pathlib import Path
from typing import Any, Final, Literal, get_args

from ..atomic.idempotency import IDEMPOTENCY_PREFIX
from ..errors import InvalidArgumentError, shown
from ..records.codec import encode
from ..records.globs import compile_glob, escape
from ..records.keys import check_key
from ..records.several import all_of_kind
from ..seller.kinds import AGENT_URL_INDEX_PREFIX, PREFIXES, SESSION_INDEX_PREFIX
from .fields import first_refused, place_of, values_at
from .holds import key_pattern, out_of_reach
from .rule_files import rules_in

Kind = Literal["delete", "redact", "keep"]

BUYER: Final = "{buyer}"  #: stands for an id of the buyer in a pattern of keys


@dataclass(frozen=True, slots=True)
class ErasureRule:
    """What is done with the entries of a buyer under one prefix.

    Attributes:
        prefix: of the keys.
        kind: "delete" the entry; "redact": put `ERASED` in place of some fields; "keep" it as it is.
        match: places in the record; where one of them holds an id of the buyer, the entry is the buyer's. "."
            stands for the value itself.
        keys: patterns of keys that are the buyer's, with ``{buyer}`` for the id.
        redact: places whose values are replaced; for "redact" alone.
        reason: why it is kept, e.g. the law that demands it; for "keep" and "redact" also in the report.
    """

    prefix: str
    kind: Kind
    match: tuple[str, ...] = ()
    keys: tuple[str, ...] = ()
    redact: tuple[str, ...] = ()
    reason: str = ""

    def is_of(self, key: str, value: Any, ids: frozenset[str]) -> bool:
        """Tell whether an entry is the buyer's."""
        for name in self.match:
            found = [value] if name == "." else values_at(value, place_of(name, "match"))
            if any(isinstance(one, str) and one in ids for one in found):
                return True
        return any(
            compile_glob(pattern.replace(BUYER, escape(one))).matches(key) for pattern in self.keys for one in ids
        )


_IDENTITY: Final = tuple(
    f"{name}.{part}"
    for name in ("buyer_identity", "identity")
    for part in ("seat_id", "agency_id", "advertiser_id", "buyer_id")
)

#: What is done unless told otherwise, with records as the agents of this kind store them. It is a proposal: which
#: records the law wants kept, and for how long, is the operator's to know.
DEFAULT_MAP: Final = (
    ErasureRule(PREFIXES["session"], "delete", match=(*_IDENTITY, "buyer_id")),
    ErasureRule(
        SESSION_INDEX_PREFIX, "delete", keys=(f"{SESSION_INDEX_PREFIX}{BUYER}", f"{SESSION_INDEX_PREFIX}*:{BUYER}")
    ),
    ErasureRule(PREFIXES["proposal"], "delete", match=("buyer_id",)),
    ErasureRule(PREFIXES["quote"], "delete", match=("buyer_id",)),
    ErasureRule("quote_history:", "delete", match=("buyer_id",)),
    ErasureRule(
        "quote_history_index:",
        "delete",
        keys=(f"quote_history_index:{BUYER}:*", f"quote_history_index:*:{BUYER}:*"),
    ),
    ErasureRule(PREFIXES["agent"], "delete", match=("agent_id",), keys=(f"{PREFIXES['agent']}{BUYER}",)),
    ErasureRule(AGENT_URL_INDEX_PREFIX, "delete", match=(".",)),
    ErasureRule("api_key:", "delete", match=(*_IDENTITY, "buyer_id")),
    ErasureRule(IDEMPOTENCY_PREFIX, "delete", keys=(f"{IDEMPOTENCY_PREFIX}*:{BUYER}:*",)),
    ErasureRule(
        PREFIXES["order"],
        "redact",
        match=("buyer_id", "metadata.buyer_id"),
        redact=("buyer_id", "metadata", "audit_log.transitions.*.actor", "audit_log.transitions.*.reason"),
        reason="commercial record",
    ),
    ErasureRule(PREFIXES["deal"], "keep", match=("buyer_id", "buyer_seat_ids.*"), reason="commercial record"),
)


def read_map(path: Path) -> list[ErasureRule]:
    """Read the map of a TOML or JSON file: a list named ``rules``.

    Raises:
        InvalidArgumentError: it holds something else, or rules that contradict each other.
        OSError: it cannot be read.
    """
    return check_map(_rule(one) for one in rules_in(path))


def _rule(data: object) -> ErasureRule:
    known = {each.name for each in fields(ErasureRule)}
    if not isinstance(data, dict) or not {"prefix", "kind"} <= data.keys() <= known:
        raise InvalidArgumentError(
            f"A rule has prefix, kind and some of {', '.join(sorted(known))}; got {shown(data)}"
        )
    values: dict[str, Any] = {
        name: tuple(value) if isinstance(value, list) else value for name, value in data.items()
    }
    return ErasureRule(**values)


def check_map(rules: Iterable[ErasureRule]) -> list[ErasureRule]:
    """Return the rules if each is complete and no two are about the same keys.

    Raises:
        InvalidArgumentError: says which, and what to do.
    """
    found = list(all_of_kind("Rules", rules, ErasureRule))
    for rule in found:
        problem = _problem(rule)
        if problem is not None:
            raise InvalidArgumentError(f"The rule for {shown(rule.prefix)} {problem}")
    for one, other in combinations(found, 2):
        if one.prefix.startswith(other.prefix) or other.prefix.startswith(one.prefix):
            raise InvalidArgumentError(
                f"The rules for {one.prefix!r} ({one.kind}) and {other.prefix!r} ({other.kind}) contradict each "
                "other: an entry could be meant by both. Make one of them"
            )
    return found


def _problem(rule: ErasureRule) -> str | None:
    """Return what is wrong with a rule by itself."""
    for name in ("match", "keys", "redact"):
        if not isinstance(texts := getattr(rule, name), tuple | list) or not all(isinstance(t, str) for t in texts):
            return f"has {name}={shown(texts)}, which is no list of texts"
    reason: object = rule.reason
    if not isinstance(reason, str):
        return f"has reason={shown(reason)}, which is no text"
    if (problem := _unfit(rule) or out_of_reach(rule.prefix)) is not None:
        return problem
    if rule.kind not in get_args(Kind):
        return f"is of kind {shown(rule.kind)}; there are {', '.join(get_args(Kind))}"
    if not rule.match and not rule.keys:
        return "says by no match and no keys which entries are a buyer's"
    if any(BUYER not in pattern for pattern in rule.keys):
        return f"has a pattern of keys without {BUYER}: it would be about all buyers"
    if (rule.kind == "redact") != bool(rule.redact):
        return (
            "redacts nothing: name the places"
            if rule.kind == "redact"
            else f"names places to redact, but is to {rule.kind}"
        )
    if rule.kind == "keep" and not rule.reason.strip():
        return "keeps entries without a reason; say which law or contract wants it"
    return None


def _unfit(rule: ErasureRule) -> str | None:
    """Return which part of a rule no key can fit, or no record."""
    return first_refused(
        [
            ("prefix", rule.prefix, lambda: check_key(rule.prefix)),
            ("reason", rule.reason, lambda: encode(rule.reason)),
            *(("match", one, partial(place_of, one, "match")) for one in rule.match if one != "."),
            *(("redact", one, partial(place_of, one, "redact")) for one in rule.redact),
            *(("keys", one, partial(key_pattern, one)) for one in rule.keys),
        ]
    )


def check_patterns(rules: Iterable[ErasureRule], ids: Iterable[str]) -> None:
    """Make sure that the patterns of keys can be compared with keys, each id put into them.

    Raises:
        InvalidArgumentError: names the rule.
    """
    for rule in rules:
        for buyer in ids:
            parts = [("keys", one, partial(compile_glob, one.replace(BUYER, escape(buyer)))) for one in rule.keys]
            if (problem := first_refused(parts)) is not None:
                raise InvalidArgumentError(f"The rule for {shown(rule.prefix)}, and {shown(buyer)}: it {problem}")
