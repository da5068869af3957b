"""Several batchers side by side, so that calls which wait for one server do not hold up those for others."""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import Callable, Sequence
from typing import Generic, TypeVar

from .batcher import Batcher

T = TypeVar("T")
R = TypeVar("R")


class PartitionedBatcher(Generic[T, R]):
    """A batcher for each lane. Within a lane the promises of a batcher hold; lanes know nothing of each other.

    Args:
        lane_of: the lane of an item, always the same for the same key, so that the order of its writes is kept.
        make: makes the batcher of a lane.
    """

    def __init__(self, lane_of: Callable[[T], int], make: Callable[[], Batcher[T, R]]) -> None:
        """No lane is there before it is used."""
        self._lane_of = lane_of
        self._lanes: defaultdict[int, Batcher[T, R]] = defaultdict(make)

    @property
    def running(self) -> bool:
        """Whether any lane is at work."""
        return any(lane.running for lane in self._lanes.values())

    async def submit(self, items: Sequence[T]) -> list[R]:
        """Have the items handled, those of a lane in one bulk call; return their results in order.

        If some lanes fail, the first error is raised when all have ended.
        """
        places: dict[int, list[int]] = {}
        for position, item in enumerate(items):
            places.setdefault(self._lane_of(item), []).append(position)
        if len(places) == 1:
            [lane] = places
            return await self._lanes[lane].submit(items)
        works = [self._lanes[lane].put([items[i] for i in part]) for lane, part in places.items()]
        results: dict[int, R] = {}
        for part, found in zip(places.values(), await asyncio.gather(*works, return_exceptions=True), strict=True):
            if isinstance(found, BaseException):
                raise found
            results.update(zip(part, found, strict=True))
        return [results[i] for i in range(len(items))]

    async def drain(self) -> None:
        """Wait until everything that was submitted has been answered."""
        for lane in list(self._lanes.values()):
            await lane.drain()
