"""What a backend has between connect and disconnect."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from functools import partial
from typing import TYPE_CHECKING

from .batching import Batcher
from .commit import Commit, Outcome
from .lanes import Lanes

if TYPE_CHECKING:
    from .driver import DriverBackend as Hooks


class Session:
    """What exists between connect and disconnect, in one event loop of one process."""

    def __init__(self, backend: Hooks) -> None:
        """Make the batchers; they belong to the running event loop."""
        self.loop = asyncio.get_running_loop()
        self.pid = os.getpid()
        reads: Callable[[], Batcher[str, bytes | Exception | None]] = partial(
            Batcher,
            backend._read,
            explain=backend._explain_read,
            timeout=backend.timeout,
            reserve=backend._reserve,
            concurrency=backend._readers,
            max_items=backend._read_batch,
        )
        expiries: Callable[[], Batcher[str, int | Exception]] = partial(
            Batcher,
            backend._remaining,
            explain=backend._explain_read,
            timeout=backend.timeout,
            reserve=backend._reserve,
        )
        # One batch at a time: so writes are applied in the order of their calls, and a cancelled one that is
        # still under way cannot overtake a later one.
        commits: Callable[[], Batcher[Commit, Outcome | Exception]] = partial(
            Batcher,
            backend._apply,
            explain=backend._explain_write,
            timeout=backend.timeout,
            reserve=backend._reserve,
        )
        lane_of = backend._lane_of
        self.reads = reads() if lane_of is None else Lanes(lane_of, reads)
        self.expiries = expiries() if lane_of is None else Lanes(lane_of, expiries)
        self.commits = (
            commits() if lane_of is None else Lanes(lambda commit: lane_of(commit.first_key or ""), commits)
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
