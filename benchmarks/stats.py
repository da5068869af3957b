"""The few numbers that a run is told by."""

from __future__ import annotations

from collections.abc import Sequence
from statistics import median
from typing import NamedTuple, TypeVar

T = TypeVar("T")


class Spread(NamedTuple):
    """The median of the rounds, the lowest and the highest."""

    median: float
    low: float
    high: float


def spread(numbers: Sequence[float]) -> Spread | None:
    return Spread(median(numbers), min(numbers), max(numbers)) if numbers else None


def percentile(ordered: Sequence[float], share: float) -> float:
    """The smallest of the ordered numbers that at least ``share`` of them do not exceed."""
    position = max(0, -(-len(ordered) * share // 1) - 1)
    return ordered[int(position)]


def turned(names: Sequence[T], turn: int) -> list[T]:
    """The order of a round: A B C, then B C A, then C A B, ..."""
    start = turn % len(names) if names else 0
    return [*names[start:], *names[:start]]
