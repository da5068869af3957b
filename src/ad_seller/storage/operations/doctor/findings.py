"""What the doctor reports, and what it keeps of a walk over any number of entries."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import Any, Final

from ...errors import redact
from .rules import RULES, Severity

SHOWN: Final = 20  #: examples of each finding that are kept


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that was found.

    Attributes:
        rule: its name in `RULES`.
        what: what was found, in a sentence.
        where: the file and line, the server or the store; "" for the store that was looked at.
        examples: keys or places, the first few.
        count: how many there are.
        fixable: whether `fix` can do it.
    """

    rule: str
    what: str
    where: str = ""
    examples: tuple[str, ...] = ()
    count: int = 1
    fixable: bool = False

    @property
    def severity(self) -> Severity:
        """How bad it is."""
        return RULES[self.rule].severity

    def as_dict(self) -> dict[str, Any]:
        """Return it for JSON, without passwords, with reason and next step."""
        return {
            "rule": self.rule,
            "severity": self.severity,
            "where": redact(self.where),
            "what": redact(self.what),
            "why": RULES[self.rule].why,
            "step": RULES[self.rule].step,
            "count": self.count,
            "examples": list(self.examples),
            "fixable": self.fixable,
        }


@dataclass(slots=True)
class Tally:
    """Counts by rule and subject, with the first few examples of each: all that a walk over the entries keeps."""

    counts: Counter[tuple[str, str]] = field(default_factory=Counter)
    kinds: Counter[str] = field(default_factory=Counter)  # entries by what stands before the first colon
    examples: dict[tuple[str, str], list[str]] = field(default_factory=dict)

    def add(self, rule: str, subject: str, example: str) -> None:
        """Count one."""
        self.counts[rule, subject] += 1
        kept = self.examples.setdefault((rule, subject), [])
        if len(kept) < SHOWN:
            kept.append(example)
