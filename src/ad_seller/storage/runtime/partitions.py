"""Several batchers side by side, so that calls which wait for one server do not hold up those for others."""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import Callable, Sequence
from typing import Generic, TypeVar

from ..stats import BatchStats
from .batcher import Batcher

T = TypeVar("T")
R = TypeVar("R")


class PartitionedBatcher(Generic[T, R]):
    """A batcher for each partition. Within one the promises of a batcher hold; they know nothing of each other.

    Args:
        partition_of: where an item belongs, always the same for the same key: so the order of its writes is kept.
        make: makes the batcher of a partition.
    """

    def __init__(self, partition_of: Callable[[T], int], make: Callable[[], Batcher[T, R]]) -> None:
        """No partition is there before it is used."""
        self._partition_of = partition_of
        self._batchers: defaultdict[int, Batcher[T, R]] = defaultdict(make)

    @property
    def stats(self) -> BatchStats:
        """What all of them counted; from any thread."""
        return sum((batcher.stats for batcher in list(self._batchers.values())), BatchStats())

    @property
    def put_back(self) -> int:
        """Calls that had not begun and were queued again."""
        return sum(batcher.put_back for batcher in list(self._batchers.values()))

    @property
    def running(self) -> bool:
        """Whether any partition is at work."""
        return any(batcher.running for batcher in self._batchers.values())

    async def submit(self, items: Sequence[T]) -> list[R]:
        """Have the items handled, those of a partition in one bulk call; return their results in order.

        If some partitions fail, the first error is raised when all have ended.
        """
        places: dict[int, list[int]] = {}
        for position, item in enumerate(items):
            places.setdefault(self._partition_of(item), []).append(position)
        if len(places) == 1:
            [partition] = places
            return await self._batchers[partition].submit(items)
        works = [self._batchers[partition].submit([items[i] for i in part]) for partition, part in places.items()]
        results: dict[int, R] = {}
        for part, found in zip(places.values(), await asyncio.gather(*works, return_exceptions=True), strict=True):
            if isinstance(found, BaseException):
                raise found
            results.update(zip(part, found, strict=True))
        return [results[i] for i in range(len(items))]

    async def drain(self) -> None:
        """Wait until everything that was submitted has been answered."""
        for batcher in list(self._batchers.values()):
            await batcher.drain()
