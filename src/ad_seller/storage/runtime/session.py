"""What a backend has between connect and disconnect."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from functools import partial
from typing import TYPE_CHECKING, TypeVar

from ..driver.commit import Commit, Outcome
from .batcher import Batcher, Request
from .partitions import PartitionedBatcher

if TYPE_CHECKING:
    from .template import DriverBackend as Hooks

T = TypeVar("T")
R = TypeVar("R")

Collected = Batcher[T, R] | PartitionedBatcher[T, R]  #: the calls of one hook, in one queue or in one for each lane


class Session:
    """What exists between connect and disconnect, in one event loop of one process."""

    def __init__(self, backend: Hooks) -> None:
        """Make the batchers; they belong to the running event loop."""
        self.loop = asyncio.get_running_loop()
        self.pid = os.getpid()
        of_key = backend._lane_of
        of_commit = None if of_key is None else lambda commit: of_key(commit.first_key or "")
        self.reads: Collected[str, bytes | Exception | None] = _batched(
            backend,
            backend._read,
            backend._explain_read,
            of_key,
            concurrency=backend._readers,
            max_items=backend._read_batch,
        )
        self.expiries: Collected[str, int | Exception] = _batched(
            backend, backend._remaining, backend._explain_read, of_key
        )
        # One batch at a time: so writes are applied in the order of their calls, and a cancelled one that is
        # still under way cannot overtake a later one.
        self.commits: Collected[Commit, Outcome | Exception] = _batched(
            backend, backend._apply, backend._explain_write, of_commit
        )
        self.sweeper: asyncio.Task[None] | None = None
        self.active = 0
        self.idle = asyncio.Event()

    @asynccontextmanager
    async def busy(self) -> AsyncIterator[None]:
        """Count a call that bypasses the batchers, so that disconnect waits for it."""
        self.active += 1
        try:
            yield
        finally:
            self.active -= 1
            self.idle.set()

    @property
    def quiet(self) -> bool:
        """Whether no thread of a driver is at work: while one is, each step on our thread may wait for the GIL."""
        return not (self.reads.running or self.commits.running or self.active)

    async def drain(self) -> None:
        """Stop sweeping and wait until everything that was called has its answer."""
        if self.sweeper is not None:
            self.sweeper.cancel()
            await asyncio.wait([self.sweeper])
        for batcher in (self.reads, self.expiries, self.commits):
            await batcher.drain()
        while self.active:
            self.idle.clear()
            await self.idle.wait()


def _batched(
    backend: Hooks,
    run: Callable[[list[T]], Awaitable[Sequence[R]]],
    explain: Callable[[BaseException, Request[T, R]], BaseException],
    lane_of: Callable[[T], int] | None,
    **settings: int,
) -> Collected[T, R]:
    """Return what collects the calls of a hook."""
    make: Callable[[], Batcher[T, R]] = partial(
        Batcher, run, explain=explain, timeout=backend.timeout, reserve=backend._reserve, **settings
    )
    return make() if lane_of is None else PartitionedBatcher(lane_of, make)
