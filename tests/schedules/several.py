"""Several simulated processes on one disk, and how they end or hang."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

from ad_seller.storage.errors import StorageError, UnknownOutcomeError
from tests.schedules.simulated import Disk, SimulatedBackend


@asynccontextmanager
async def processes(disk: Disk, count: int = 2, **settings: Any) -> AsyncIterator[list[SimulatedBackend]]:
    """Yield connected backends on one disk; at the end nothing is held in any of them.

    Where nothing fails, they are those of the schedule before: to connect and disconnect costs more than many a
    schedule. The story begins, from its seed, when they are there.
    """
    if disk.faults or disk.closed_doors:
        async with _new_processes(disk, count, settings) as stores:
            yield stores
        return
    loop = disk.world.loop
    kept = loop.kept.setdefault(repr(sorted(settings.items())), [])
    while len(kept) < count:
        kept.append(disk.backend(sweep_interval=None, **settings))
        await kept[-1].connect()
    stores = kept[:count]
    for store in stores:
        store.disk = disk
        store.frozen = False
    loop.begin(loop.seed)
    yield stores
    for store in stores:
        await store.settle()


@asynccontextmanager
async def _new_processes(disk: Disk, count: int, settings: dict[str, Any]) -> AsyncIterator[list[SimulatedBackend]]:
    stores = [disk.backend(sweep_interval=None, **settings) for _ in range(count)]
    for store in stores:
        await store.connect()
    yield stores
    for store in stores:
        await store.let_go()


def dies(store: SimulatedBackend) -> Callable[[asyncio.Task[Any], asyncio.Future[Any] | None], None]:
    """Return what ends a process: nothing that it sends gets through any more, and its task ends."""

    def now(task: asyncio.Task[Any], future: asyncio.Future[Any] | None) -> None:
        store.frozen = True
        task.cancel()

    return now


def hangs(
    store: SimulatedBackend, told: Callable[[], object]
) -> Callable[[asyncio.Task[Any], asyncio.Future[Any] | None], None]:
    """Return what lets the store of a process hang a moment later, and tells so, until `frozen` is taken back."""
    world = store.disk.world

    def soon(task: asyncio.Task[Any], future: asyncio.Future[Any] | None) -> None:
        timer = world.loop.call_later(world.chance.choice((0, 0.0001, 0.0005, 0.001, 0.02)), freeze)
        task.add_done_callback(lambda _: timer.cancel())

    def freeze() -> None:
        store.frozen = True
        told()

    return soon


class Tally:
    """How a number of attempts ended."""

    def __init__(self) -> None:
        self.done = self.maybe = self.undone = 0

    async def count(self, work: Any) -> Any:
        """Await ``work``; a result means that it is done, an error that it is not, or that nobody knows."""
        try:
            result = await work
        except (asyncio.CancelledError, UnknownOutcomeError):
            self.maybe += 1
            return None
        except StorageError:
            self.undone += 1
            return None
        self.done += 1
        return result

    def check(self, found: int) -> None:
        assert self.done <= found <= self.done + self.maybe, vars(self)
