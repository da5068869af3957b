"""Durations of calls: each handed to the histogram of the conventions, or added up here and told as counters.

A histogram of the SDK takes 5 microseconds for each call (1.45), which is a third of a call that shares its batch
with 63 others. The API has no histogram that is only looked at when it is exported, but counters are: one for each
bucket is what Prometheus makes of a histogram anyway, and what ``histogram_quantile`` asks for.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterator, Mapping
from functools import partial
from itertools import accumulate
from typing import Any, Final, Protocol

from ..concurrency.forks import ForkSafeLock
from .library import Instruments, Observed

#: Seconds; the conventions ask for these.
BOUNDARIES: Final = (0.001, 0.005, 0.01, 0.05, 0.1, 0.5, 1, 5, 10)
_LIMITS: Final = (*map(str, BOUNDARIES), "+Inf")  #: as Prometheus writes them
_FOLD_AT: Final = 256  #: durations that wait to be sorted into buckets; takes some 15 microseconds


class Record(Protocol):
    """Takes note of the seconds that a call took."""

    def __call__(self, seconds: float, /) -> None:
        """Take note of a call."""


class Durations(Protocol):
    """Where durations go."""

    def recorder(self, attributes: Mapping[str, Any]) -> Record:
        """Return what takes those of calls with these attributes."""


class Histogram:
    """The histogram of the conventions: ``db.client.operation.duration``."""

    def __init__(self, instruments: Instruments) -> None:
        """Make it."""
        self._record = instruments.histogram(
            "db.client.operation.duration", "s", "Duration of database client operations.", BOUNDARIES
        )

    def recorder(self, attributes: Mapping[str, Any]) -> Record:
        """See `Durations`."""
        return partial(self._record, attributes=attributes)


class Counters:
    """The calls by how long they took at most (``le``), and the sum of the seconds."""

    def __init__(self, instruments: Instruments) -> None:
        """Have them looked at when they are exported."""
        self._buckets: dict[frozenset[tuple[str, Any]], Buckets] = {}
        self._lock = ForkSafeLock()
        instruments.observe(
            "counter",
            "ad_seller.storage.duration.bucket",
            "{call}",
            "Calls that took at most so many seconds (le).",
            self._counts,
        )
        instruments.observe(
            "counter", "ad_seller.storage.duration.sum", "s", "Seconds that calls took.", self._sums
        )

    def recorder(self, attributes: Mapping[str, Any]) -> Record:
        """See `Durations`; backends whose calls have the same attributes share one."""
        belongs = frozenset(attributes.items())
        with self._lock:
            if (buckets := self._buckets.get(belongs)) is None:
                buckets = self._buckets[belongs] = Buckets()
        return buckets.add

    def _counts(self) -> Observed:
        for attributes, buckets in self._all():
            for limit, count in zip(_LIMITS, accumulate(buckets.counted()[0]), strict=True):
                yield count, {**attributes, "le": limit}

    def _sums(self) -> Observed:
        for attributes, buckets in self._all():
            yield buckets.counted()[1], attributes

    def _all(self) -> Iterator[tuple[dict[str, Any], Buckets]]:
        with self._lock:
            known = list(self._buckets.items())
        yield from ((dict(belongs), buckets) for belongs, buckets in known)


class Buckets:
    """Durations of any threads, by buckets.

    To append one to a list is atomic, and cheaper than to take a lock; the lock is for who sorts them.
    """

    __slots__ = ("_append", "_counts", "_lock", "_recent", "_sum")

    def __init__(self) -> None:
        """Begin with none."""
        self._recent: list[float] = []
        self._append = self._recent.append
        self._counts = [0] * len(_LIMITS)
        self._sum = 0.0
        self._lock = ForkSafeLock()

    def add(self, seconds: float, /) -> None:
        """Add the duration of a call."""
        self._append(seconds)
        if len(self._recent) >= _FOLD_AT:
            self.counted()

    def counted(self) -> tuple[list[int], float]:
        """Return how many calls each bucket has, and the sum of their seconds."""
        with self._lock:
            some = self._recent[:]
            del self._recent[: len(some)]  # others may have appended meanwhile
            some.sort()
            self._sum += sum(some)
            ends = [bisect_right(some, boundary) for boundary in BOUNDARIES]
            for number, (begin, end) in enumerate(zip((0, *ends), (*ends, len(some)), strict=True)):
                self._counts[number] += end - begin
            return list(self._counts), self._sum
