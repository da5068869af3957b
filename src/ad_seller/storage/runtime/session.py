"""What a backend has in one event loop: an engine, with the batchers that feed it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable, Sequence
from contextlib import suppress
from functools import partial
from typing import Any, TypeVar

from ..driver.commit import Commit, Outcome
from ..driver.engine import Engine
from ..stats import BatchStats, Stats
from .batcher import Batcher
from .mapping import ErrorMapper
from .partitions import PartitionedBatcher
from .request import Request
from .sweeper import Sweeper

T = TypeVar("T")
R = TypeVar("R")

_PATIENCE = 3  #: time-outs of calls for which a close waits; only what an interrupt has lost takes longer
_LOOK = 0.25  #: seconds between two looks whether an interrupt has ended a call beside the batches unseen

Collected = Batcher[T, R] | PartitionedBatcher[T, R]  #: the calls of one hook, in one queue or in partitions


class Session:
    """An engine and the calls on their way to it, in one event loop.

    Args:
        engine: not open yet.
        timeout: seconds that any call waits for an answer.
        sweep_interval: seconds between two looks for expired entries; None for none.
    """

    def __init__(self, engine: Engine, *, timeout: float, sweep_interval: float | None) -> None:
        """Belong to the running event loop."""
        self.loop = asyncio.get_running_loop()
        self.engine = engine
        self.errors = ErrorMapper(engine, timeout)
        self.is_open = False
        self._timeout = timeout
        self._sweep_interval = sweep_interval
        self._closing = asyncio.Lock()
        self._until_loop_ends: AsyncGenerator[None] | None = None
        self._sweeper: Sweeper | None = None
        self.active: dict[object, asyncio.Task[Any] | None] = {}  #: calls beside the batches, with their tasks
        self.idle = asyncio.Event()
        self.read_at_once = 0  #: reads that needed no bulk call
        self.ended: Callable[[Stats], None] = lambda stats: None  #: gets what was counted when all is closed

    @property
    def stats(self) -> Stats:
        """What was counted here, and how it stands; from any thread."""
        engine, commits = self.engine, self.commits
        reads = self.reads.stats + self.expiries.stats + BatchStats(self.read_at_once)
        return Stats(
            loops=1,
            pool=engine.pool,
            reads=reads,
            writes=commits.stats,
            listings=len(self.active),
            retries=engine.retries + self.reads.put_back + self.expiries.put_back + commits.put_back,
            expired=engine.reclaimed,
            index_trusted=engine.index_trusted,
        )

    async def open(self) -> None:
        """Open the engine and begin to sweep.

        Raises:
            StorageError: it cannot be opened; nothing stays open.
        """
        engine = self.engine
        try:
            await engine.open()
        except Exception as error:
            raise self.errors.map("open", None, error) from error
        self.is_open = True
        of_key = engine.partition_of
        of_commit = None if of_key is None else lambda commit: of_key(commit.first_key or "")
        self.reads: Collected[str, bytes | Exception | None] = self._batched(
            engine.read,
            self._map_read,
            of_key,
            concurrency=engine.readers,
            max_items=engine.read_batch,
            begin=engine.begin_read,
        )
        self.expiries: Collected[str, int | Exception] = self._batched(engine.remaining, self._map_read, of_key)
        # One batch at a time: so writes are applied in the order of their calls, and a cancelled one that is
        # still under way cannot overtake a later one.
        self.commits: Collected[Commit, Outcome | Exception] = self._batched(
            engine.apply, self._map_write, of_commit, begin=engine.begin_apply
        )
        if engine.sweeps and self._sweep_interval is not None:
            self._sweeper = Sweeper(engine, self._sweep_interval)

    def _batched(
        self,
        run: Callable[[list[T]], Awaitable[Sequence[R | asyncio.Future[R]]]],
        explain: Callable[[BaseException, Request[T, R]], BaseException],
        partition_of: Callable[[T], int] | None,
        **settings: Any,
    ) -> Collected[T, R]:
        make: Callable[[], Batcher[T, R]] = partial(
            Batcher, run, explain=explain, timeout=self._timeout, reserve=self.engine.reserve, **settings
        )
        return make() if partition_of is None else PartitionedBatcher(partition_of, make)

    def _map_read(self, error: BaseException, request: Request[str, R]) -> BaseException:
        return self.errors.map("read", request.items[0], error)

    def _map_write(self, error: BaseException, request: Request[Commit, R]) -> BaseException:
        return self.errors.map("write", request.items[0].first_key, error, writes=request.sent)

    @property
    def is_idle(self) -> bool:
        """Whether no thread of an engine is at work: while one is, each step on our thread may wait for the GIL."""
        return not (self.reads.running or self.commits.running or self.active)

    # --- the end ---------------------------------------------------------------------------------------

    async def close(self) -> None:
        """Wait until everything that was called has its answer, then close the engine; harmless twice.

        Raises:
            StorageError: something could not be closed.
        """
        async with self._closing:
            if not self.is_open:
                return
            await self._drain()
            try:
                await self.engine.close()
            except Exception as error:
                raise self.errors.map("close", None, error) from error
            finally:
                self._end()
        watch, self._until_loop_ends = self._until_loop_ends, None
        if watch is not None:
            await watch.aclose()

    def abandon(self) -> None:
        """Give the engine up, from any thread: its event loop has ended, or will never run again."""
        if self.is_open:
            self._end()
            self.engine.abandon()

    def _end(self) -> None:
        self.is_open = False
        self.ended(self.stats.counted)

    async def _drain(self) -> None:
        if self._sweeper is not None:
            await self._sweeper.stop()
        give_up = self.loop.time() + _PATIENCE * self._timeout + 1
        for batcher in (self.reads, self.expiries, self.commits):
            with suppress(TimeoutError):
                async with asyncio.timeout_at(give_up):
                    await batcher.drain()
        while any(task is None or not task.done() for task in self.active.values()):  # these take what they need
            self.idle.clear()
            with suppress(TimeoutError):
                async with asyncio.timeout(_LOOK):
                    await self.idle.wait()

    def left_by(self, task: asyncio.Task[Any] | None) -> None:
        """Take note that a task closes: so it is in no call any more, whatever an interrupt has left."""
        for call, its in list(self.active.items()):  # maybe from another thread
            if its is task:
                self.active.pop(call, None)

    async def close_with_loop(self, ended: Callable[[Session], None]) -> None:
        """Have the session closed, and ``ended`` called, when its event loop is shut down without `close`.

        `asyncio.run` and every runner like it end the asynchronous generators that are still open before they close
        the loop (https://docs.python.org/3/library/asyncio-eventloop.html#asyncio.loop.shutdown_asyncgens). That is
        the last moment at which connections can be closed as they should, in their own loop.
        """

        async def until_loop_ends() -> AsyncGenerator[None]:
            try:
                yield
            finally:
                self._until_loop_ends = None
                if self.is_open:
                    ended(self)
                    await self.close()

        self._until_loop_ends = until_loop_ends()
        await anext(self._until_loop_ends)
