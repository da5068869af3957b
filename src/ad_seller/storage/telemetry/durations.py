"""Durations of calls: handed to the histogram of the conventions, or added up here and told as counters.

A histogram of the SDK takes 5 microseconds for each call (1.45), and more than twice that between two calls of an
event loop: so durations wait, and are handed over together, at the latest when metrics are exported. The API has no
histogram that is only looked at then, but counters are: one for each bucket is what Prometheus makes of a histogram
anyway, and what ``histogram_quantile`` asks for.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from bisect import bisect_right
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from functools import partial
from itertools import accumulate
from typing import Any, Final, Generic, TypeVar

from ..concurrency.forks import fork_safe_lock
from .library import Instruments, Observed

#: Seconds; the conventions ask for these.
BOUNDARIES: Final = (0.001, 0.005, 0.01, 0.05, 0.1, 0.5, 1, 5, 10)
_LIMITS: Final = (*map(str, BOUNDARIES), "+Inf")  #: as Prometheus writes them
#: Durations that wait to be told on; to hand them to the SDK takes half a millisecond.
MOST_WAITING: Final = 128


class Waiting(ABC):
    """Durations of the calls that have the same attributes, of any threads.

    To append one to a list is atomic, and cheaper than to take a lock; the lock is for who tells them on.

    Attributes:
        waiting: those that are not told yet; who appends one calls `fold` if there are `MOST_WAITING`.
    """

    __slots__ = ("_lock", "waiting")

    def __init__(self) -> None:
        """Begin with none."""
        self.waiting: list[float] = []
        self._lock = fork_safe_lock()

    def add(self, seconds: float, /) -> None:
        """Add the duration of a call."""
        self.waiting.append(seconds)
        if len(self.waiting) >= MOST_WAITING:
            self.fold()

    def fold(self) -> None:
        """Tell on what waits."""
        with self._lock:
            some = self.waiting[:]
            del self.waiting[: len(some)]  # others may have appended meanwhile
            self._take(some)

    def now(self, seconds: float, /) -> None:
        """Tell on the duration of a call that has a span, which is the current one."""
        self.add(seconds)

    @abstractmethod
    def _take(self, some: list[float]) -> None:
        """Take those that have waited."""


W = TypeVar("W", bound=Waiting)


class Durations(ABC, Generic[W]):
    """Where durations go."""

    def __init__(self) -> None:
        """Begin with none."""
        self._all: dict[frozenset[tuple[str, Any]], W] = {}
        self._lock = fork_safe_lock()

    def of(self, attributes: Mapping[str, Any]) -> W:
        """Return where those of calls with these attributes go; backends whose calls have the same share one."""
        belongs = frozenset(attributes.items())
        with self._lock:
            if (known := self._all.get(belongs)) is None:
                known = self._all[belongs] = self._new(attributes)
        return known

    def fold(self) -> None:
        """Have nothing wait any more."""
        for _, durations in self.known():
            durations.fold()

    def known(self) -> list[tuple[dict[str, Any], W]]:
        """Return all that there are, with their attributes."""
        with self._lock:
            return [(dict(belongs), durations) for belongs, durations in self._all.items()]

    @abstractmethod
    def _new(self, attributes: Mapping[str, Any]) -> W:
        """Make what takes those with these attributes."""


class Histogram(Durations["Handed"]):
    """The histogram of the conventions: ``db.client.operation.duration``."""

    def __init__(self, instruments: Instruments) -> None:
        """Make it."""
        super().__init__()
        self._record = instruments.histogram(
            "db.client.operation.duration", "s", "Duration of database client operations.", BOUNDARIES
        )
        self._beside_traces = instruments.beside_traces
        instruments.before_export(self.fold)

    def _new(self, attributes: Mapping[str, Any]) -> Handed:
        return Handed(partial(self._record, attributes=attributes), self._beside_traces)


class Handed(Waiting):
    """Durations that are handed on one by one.

    Args:
        record: takes one.
        beside_traces: makes a block in which no span is the current one: what waited is no example of whatever is
            traced when it is handed on.
    """

    __slots__ = ("_beside_traces", "_record")

    def __init__(self, record: Callable[[float], None], beside_traces: Callable[[], AbstractContextManager[None]]):
        """Begin with none."""
        super().__init__()
        self._record = record
        self._beside_traces = beside_traces

    def now(self, seconds: float, /) -> None:
        """Hand on one, which may be an example of what the current span stands for."""
        self._record(seconds)

    def _take(self, some: list[float]) -> None:
        with self._beside_traces():
            for seconds in some:
                self._record(seconds)


class Counters(Durations["Buckets"]):
    """The calls by how long they took at most (``le``), and the sum of the seconds."""

    def __init__(self, instruments: Instruments) -> None:
        """Have them looked at when they are exported."""
        super().__init__()
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

    def _new(self, attributes: Mapping[str, Any]) -> Buckets:
        return Buckets()

    def _counts(self) -> Observed:
        for attributes, buckets in self.known():
            for limit, count in zip(_LIMITS, accumulate(buckets.counted()[0]), strict=True):
                yield count, {**attributes, "le": limit}

    def _sums(self) -> Observed:
        for attributes, buckets in self.known():
            yield buckets.counted()[1], attributes


class Buckets(Waiting):
    """Durations by buckets."""

    __slots__ = ("_counts", "_sum")

    def __init__(self) -> None:
        """Begin with none."""
        super().__init__()
        self._counts = [0] * len(_LIMITS)
        self._sum = 0.0

    def counted(self) -> tuple[list[int], float]:
        """Return how many calls each bucket has, and the sum of their seconds."""
        self.fold()
        with self._lock:
            return list(self._counts), self._sum

    def _take(self, some: list[float]) -> None:
        some.sort()
        self._sum += sum(some)
        ends = [bisect_right(some, boundary) for boundary in BOUNDARIES]
        for number, (begin, end) in enumerate(zip((0, *ends), (*ends, len(some)), strict=True)):
            self._counts[number] += end - begin
