"""What a run has found, and how it is kept."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from .stats import Spread, spread


@dataclass
class Burst:
    """What one contender did in one round.

    Attributes:
        ops: Operations that succeeded.
        seconds: In so many seconds.
        failed: Operations that raised.
        wrong: Operations whose answer was not what was written.
        p50: Microseconds of the median operation (pgbench: of the mean one).
        p99: Likewise.
        stall: Milliseconds by which the latest tick of a 1 ms ticker was late.
        cpu: Microseconds of computing time of the contender's process for each operation, checks included.
        error: The first exception.
        clients: Connections of pgbench.
    """

    ops: int = 0
    seconds: float = 0.0
    failed: int = 0
    wrong: int = 0
    p50: float | None = None
    p99: float | None = None
    stall: float | None = None
    cpu: float | None = None
    error: str | None = None
    clients: int | None = None

    @property
    def rate(self) -> float:
        return self.ops / self.seconds if self.seconds else 0.0


Bursts = dict[str, list[Burst]]  #: by contender, one for each round; an empty one if it did not answer


@dataclass
class Results:
    """All bursts of an engine, by workload and contender."""

    engine: str
    about: dict[str, Any] = field(default_factory=dict)
    bursts: dict[str, Bursts] = field(default_factory=dict)
    absent: dict[str, str] = field(default_factory=dict)
    memory: dict[str, dict[str, float]] = field(default_factory=dict)

    def rates(self, workload: str, contender: str) -> list[float]:
        return [burst.rate for burst in self.bursts.get(workload, {}).get(contender, [])]

    def ratio(self, workload: str, contender: str, base: str) -> Spread | None:
        """The contender's speed over the base's, round by round; None without a round that has both."""
        pairs = zip(self.rates(workload, contender), self.rates(workload, base), strict=False)
        return spread([mine / its for mine, its in pairs if mine and its])

    def cpu_ratio(self, workload: str, contender: str, base: str) -> float | None:
        """Likewise by computing time: how many operations it does in the time that the base needs for one."""
        mine, its = self.spread(workload, contender, "cpu"), self.spread(workload, base, "cpu")
        return its.median / mine.median if mine and its and mine.median else None

    def spread(self, workload: str, contender: str, attribute: str) -> Spread | None:
        found = [getattr(burst, attribute) for burst in self.bursts.get(workload, {}).get(contender, [])]
        return spread([number for number in found if number is not None])

    def total(self, workload: str, contender: str, attribute: str) -> int:
        return sum(getattr(burst, attribute) for burst in self.bursts.get(workload, {}).get(contender, []))

    def dump(self) -> dict[str, Any]:
        return asdict(self)


def save(path: Path, results: list[Results]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps([found.dump() for found in results], indent=1) + "\n")


def load(path: Path) -> list[Results]:
    found = []
    for fields in json.loads(path.read_text()):
        bursts = {
            workload: {
                contender: [Burst(**burst) for burst in rounds] for contender, rounds in by_contender.items()
            }
            for workload, by_contender in fields.pop("bursts").items()
        }
        found.append(Results(**fields, bursts=bursts))
    return found
