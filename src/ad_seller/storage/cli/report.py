"""What a replay measures: mismatches with the recording, throughput, latency percentiles."""

from __future__ import annotations

import math
from collections import Counter
from dataclasses import dataclass, field
from typing import Any

from rich.table import Table

from .output import Output
from .recording import Operation

SHOWN_MISMATCHES = 10
_PERCENTILES = (50, 90, 99)
_STEP = math.log(1.01)  # neighbouring buckets are 1 % apart


class Latencies:
    """A histogram with buckets 1 % apart: it takes the same memory for any number of operations."""

    def __init__(self) -> None:
        """Start empty."""
        self._buckets: Counter[int] = Counter()
        self.longest = 0.0

    @property
    def count(self) -> int:
        """How many there are."""
        return self._buckets.total()

    def add(self, seconds: float) -> None:
        """Count one operation."""
        self._buckets[round(math.log(max(seconds, 1e-9)) / _STEP)] += 1
        self.longest = max(self.longest, seconds)

    def merge(self, other: Latencies) -> None:
        """Count all those of another histogram."""
        self._buckets.update(other._buckets)
        self.longest = max(self.longest, other.longest)

    def percentile(self, percent: float) -> float:
        """Return the seconds that so many percent of the operations took at most, within 0.5 %."""
        rank = math.ceil(self.count * percent / 100)
        for bucket in sorted(self._buckets):
            rank -= self._buckets[bucket]
            if rank <= 0:
                return min(math.exp(bucket * _STEP), self.longest)
        return 0.0

    def milliseconds(self) -> dict[str, float]:
        """Return the percentiles and the longest, by name."""
        figures = {f"p{percent}": self.percentile(percent) for percent in _PERCENTILES} | {"max": self.longest}
        return {name: round(seconds * 1000, 4) for name, seconds in figures.items()}


@dataclass(slots=True)
class Report:
    """The course of a replay.

    Attributes:
        total: operations in the recording.
        applied: operations that were applied.
        mismatches: how many of them answered something else than the recording saw.
        first_mismatches: the first few of those.
        latencies: by kind of operation.
        seconds: how long it took.
        error: why it ended early.
    """

    total: int
    applied: int = 0
    mismatches: int = 0
    first_mismatches: list[dict[str, Any]] = field(default_factory=list)
    latencies: dict[str, Latencies] = field(default_factory=dict)
    seconds: float = 0.0
    error: str | None = None

    def add(self, operation: Operation, answer: bool | int | None, seconds: float) -> None:
        """Count an operation that was applied, and compare its answer."""
        self.applied += 1
        self.latencies.setdefault(operation.kind, Latencies()).add(seconds)
        if operation.expected is None or answer == operation.expected:
            return
        self.mismatches += 1
        if len(self.first_mismatches) < SHOWN_MISMATCHES:
            self.first_mismatches.append(
                {
                    "line": operation.line,
                    "op": operation.kind,
                    "key": operation.key,
                    "expected": operation.expected,
                    "got": answer,
                }
            )

    @property
    def ops_per_second(self) -> float:
        """Operations per second, reading the recording included."""
        return self.applied / self.seconds if self.seconds else 0.0

    def write(self, out: Output) -> None:
        """Write it as JSON, or as a page to read."""
        if out.as_json:
            out.json(self._as_dict())
        else:
            self._write_page(out)

    def _rows(self) -> dict[str, Latencies]:
        """The latencies by kind, and of all together."""
        overall = Latencies()
        for latencies in self.latencies.values():
            overall.merge(latencies)
        return dict(sorted(self.latencies.items())) | {"all": overall}

    def _as_dict(self) -> dict[str, Any]:
        return {
            "applied": self.applied,
            "total": self.total,
            "mismatches": self.mismatches,
            "first_mismatches": self.first_mismatches,
            "seconds": round(self.seconds, 4),
            "ops_per_second": round(self.ops_per_second, 1),
            "latency_ms": {kind: {"count": row.count, **row.milliseconds()} for kind, row in self._rows().items()},
            "error": self.error,
        }

    def _write_page(self, out: Output) -> None:
        out.text(
            f"{self.applied:,} of {self.total:,} operations applied in {self.seconds:.2f} s "
            f"({self.ops_per_second:,.0f} per second), {self.mismatches:,} mismatches"
        )
        table = Table("operation", box=None, pad_edge=False)
        for title in ("count", *(f"p{percent} ms" for percent in _PERCENTILES), "max ms"):
            table.add_column(title, justify="right")
        for kind, row in self._rows().items():
            table.add_row(kind, f"{row.count:,}", *(f"{number:.3f}" for number in row.milliseconds().values()))
        out.console.print(table)
        self._write_mismatches(out)

    def _write_mismatches(self, out: Output) -> None:
        for each in self.first_mismatches:
            out.text(
                f"line {each['line']}: {each['op']} {each['key']!r}: expected {each['expected']}, got {each['got']}"
            )
        if self.mismatches > len(self.first_mismatches):
            out.text(f"and {self.mismatches - len(self.first_mismatches):,} more mismatches")
