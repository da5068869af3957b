"""What the conformance kit found out about a backend, by section of the contract and by level."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal
from urllib.parse import quote

from ..errors import redact
from .levels import CAPABILITY, Level, Section
from .steps import step_of

Outcome = Literal["passed", "failed", "not shown", "not declared", "not checked"]

_LEVELS = list(Level)

#: Of several checks together, the first of these that is among their outcomes counts.
_ORDER: tuple[Outcome, ...] = ("failed", "passed", "not shown", "not checked", "not declared")


@dataclass(frozen=True, slots=True)
class Check:
    """One check and what came of it.

    Attributes:
        id: its name; ``--check`` takes it.
        level: the level that it belongs to.
        section: the heading of the contract that it checks.
        outcome: "not declared": the backend does not promise this; "not checked": it offers no way to try it; "not
            shown": it was tried, nothing was wrong, and what happened is no proof.
        message: why it failed or was not done.
        seconds: how long it took.
    """

    id: str
    level: Level
    section: Section
    outcome: Outcome
    message: str = ""
    seconds: float = 0.0


@dataclass(frozen=True, slots=True)
class Row:
    """The checks of one section and one level, counted.

    Attributes:
        section: the heading of the contract; None: of all.
        level: the level; None: of all.
        counts: how many checks came to each outcome.
        verdict: the outcome of all of them together.
    """

    section: Section | None
    level: Level | None
    counts: Mapping[Outcome, int]
    verdict: Outcome

    @property
    def checks(self) -> int:
        """How many there are."""
        return sum(self.counts.values())


@dataclass(frozen=True, slots=True)
class Group:
    """Failures with one reason.

    Attributes:
        reason: the first line of what each says.
        step: the step of docs/custom-backend.md that is about it, e.g. "4. Look at the clock in every operation".
        checks: the failed checks, of one level.
    """

    reason: str
    step: str
    checks: list[Check]


@dataclass(slots=True)
class Report:
    """The outcome of a run.

    Attributes:
        target: what was tested, without passwords.
        backend: the name of its class.
        capabilities: what it declares.
        planned: the checks that were to be made.
        checks: those that were made.
        stopped: why the others were not.
    """

    target: str
    backend: str = ""
    capabilities: dict[str, Any] = field(default_factory=dict)
    planned: int = 0
    checks: list[Check] = field(default_factory=list)
    stopped: str = ""

    @property
    def passed(self) -> bool:
        """Whether every check was made, and none failed."""
        return 0 < self.planned <= len(self.checks) and not self.failures

    @property
    def failures(self) -> list[Check]:
        """The checks that failed."""
        return [check for check in self.checks if check.outcome == "failed"]

    def groups(self) -> list[Group]:
        """Return the failures that have one reason together, the largest group of a level first."""
        groups: dict[tuple[Level, str], list[Check]] = {}
        for failure in sorted(self.failures, key=lambda one: _LEVELS.index(one.level)):
            groups.setdefault((failure.level, _reason(failure.message)), []).append(failure)
        found = [
            Group(reason, step_of(checks[0].section, reason), checks) for (_, reason), checks in groups.items()
        ]
        return sorted(found, key=lambda group: (_LEVELS.index(group.checks[0].level), -len(group.checks)))

    def rows(self) -> list[Row]:
        """Return a row for each section and level that has checks, in the order of the contract."""
        return [row for section in Section for level in Level if (row := self._row(section, level)).checks]

    def levels(self) -> list[Row]:
        """Return a row for each level that has checks."""
        return [row for level in Level if (row := self._row(None, level)).checks]

    def total(self) -> Row:
        """Return one row for everything."""
        return self._row(None, None)

    def as_dict(self) -> dict[str, Any]:
        """Return all of it as JSON values."""
        return {
            "target": self.target,
            "backend": self.backend,
            "capabilities": self.capabilities,
            "passed": self.passed,
            "planned": self.planned,
            "stopped": self.stopped,
            "counts": _by_name(self.total()),
            "levels": {row.level: _verdict(row) for row in self.levels()},
            "sections": [{"section": row.section, "level": row.level, **_verdict(row)} for row in self.rows()],
            "checks": [
                {
                    "id": check.id,
                    "level": check.level,
                    "section": check.section,
                    "outcome": check.outcome,
                    "message": check.message,
                    "seconds": round(check.seconds, 3),
                }
                for check in self.checks
            ],
        }

    def summary(self) -> str:
        """Return the result as one sentence."""
        counts = self.total().counts
        failed, passed = counts.get("failed", 0), counts.get("passed", 0)
        missing = self.planned - len(self.checks)
        parts = [f"{passed:,} of {self.planned:,} checks passed"]
        parts += [f"{failed:,} failed"] if failed else []
        others: tuple[Outcome, ...] = ("not shown", "not declared", "not checked")
        parts += [f"{counts[name]:,} {name}" for name in others if counts.get(name)]
        parts += [f"{missing:,} not reached"] if missing else []
        why = f" {redact(self.stopped)}" if self.stopped else ""
        return f"{self.backend or self.target}: {', '.join(parts)}.{why}"

    def badge(self) -> str:
        """Return a badge as a line of Markdown; its picture comes from shields.io."""
        label = "storage contract"
        what = f"{self.total().counts.get('passed', 0)} checks passed" if self.passed else "failed"
        name = "-".join(quote(text.replace("-", "--").replace("_", "__"), safe="") for text in (label, what))
        return f"![{label}: {what}](https://img.shields.io/badge/{name}-{'brightgreen' if self.passed else 'red'})"

    def markdown(self) -> str:
        """Return the badge, the sentence, and the table by section and level as Markdown."""
        lines = [self.badge(), "", self.summary(), ""]
        lines += ["| section | level | checks | passed | result |", "|---|---|--:|--:|---|"]
        for row in self.rows():
            counts = f"{row.checks} | {row.counts.get('passed', 0)}"
            lines.append(f"| {row.section} | {row.level} | {counts} | {row.verdict} |")
        if self.failures:
            lines += ["", "Failed:", ""]
            for group in self.groups():
                names = ", ".join(f"`{one.id}`" for one in group.checks)
                lines.append(f"- {names} ({group.checks[0].level}): {group.reason}")
        return "\n".join(lines)

    def _row(self, section: Section | None, level: Level | None) -> Row:
        chosen = (c for c in self.checks if section in (None, c.section) and level in (None, c.level))
        counts = Counter(check.outcome for check in chosen)
        verdict: Outcome = next((outcome for outcome in _ORDER if counts[outcome]), "not checked")
        if verdict == "passed" and level in CAPABILITY and not self.capabilities.get(CAPABILITY[level]):
            verdict = "not declared"  # that it is not, is what passed
        return Row(section, level, counts, verdict)


def _by_name(row: Row) -> dict[str, int]:
    return {str(outcome): count for outcome, count in row.counts.items()}


def _verdict(row: Row) -> dict[str, Any]:
    return {"verdict": row.verdict, "checks": row.checks, **_by_name(row)}


def _reason(message: str) -> str:
    """Return the first line of a message, without what differs between failures of one kind."""
    line = redact(message.strip().partition("\n")[0])
    return re.sub(r"^(AssertionError: )?\d+ of \d+ rows: .*?: (?=[A-Z]\w*: )", "", line)
