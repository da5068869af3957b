"""Connections to one PostgreSQL server, and the queue of those who wait for a free one.

asyncpg's own pool takes some twenty times as long, and does not tell why there is none (docs/decisions.md).
"""

from __future__ import annotations

import asyncio
import os
from collections import deque
from collections.abc import Awaitable, Callable
from functools import partial
from typing import Any

from ..concurrency.forks import keep_for_parent
from ..concurrency.tasks import later
from ..driver.failures import NotSentError
from ..stats import PoolStats
from .connection import Call, Connection
from .login import Login
from .waiting import NoneFreeError, Pause, Waiter

Prepare = Callable[[Callable[..., Awaitable[list[Any]]]], Awaitable[None]]

IDLE_SECONDS = 300.0  #: after which connections beyond the minimum are closed
_MOMENT = 0.2  #: seconds that a connection may still take which nobody waits for


class PostgresPool:
    """At most ``most`` connections to one server.

    Args:
        login: what sessions are begun with.
        least: how many are kept open.
        most: how many at most; callers wait for a free one.
        timeout: seconds for connecting.
    """

    def __init__(self, login: Login, *, least: int, most: int, timeout: float) -> None:
        """Nothing is connected yet."""
        self._login = login
        self._least = least
        self._most = most
        self._timeout = timeout
        self._loop = asyncio.get_running_loop()
        self._pid = os.getpid()
        self._all: set[Connection] = set()
        self._idle: list[Connection] = []
        self._waiters: deque[Waiter] = deque()
        self._growing: set[asyncio.Task[Connection]] = set()
        self._connecting: set[asyncio.Task[Connection]] = set()
        self._unproven: set[Connection] = set()  # made for those who wait, and not used yet
        self._pause = Pause(timeout)
        self._closing = False
        self._refusal: str | None = None  # why the last further connection could not be made
        self._trimming: asyncio.TimerHandle | None = None

    @property
    def stats(self) -> PoolStats:
        """The connections at this moment; from any thread."""
        waiting = sum(not waiter.future.done() for waiter in list(self._waiters))
        return PoolStats(len(self._all), len(self._idle), self._most, waiting)

    async def open(self, prepare: Prepare | None) -> None:
        """Make the first connections.

        Args:
            prepare: is given a function that runs statements on the first one, before any other is made. None: all
                is prepared; then one connection is enough to begin with, or none if that is the minimum.

        Raises:
            NotSentError: the server cannot be reached.
        """
        if prepare is None and self._least == 0:
            return
        first = await self._connect()
        try:
            if prepare is not None:
                await self._prepare(first, prepare)
            self.release(first)
            if prepare is not None:
                for connection in await _gather(partial(self._connect, first), self._least - 1):
                    self.release(connection)
        except BaseException:
            self._terminate_all()
            raise

    async def _prepare(self, first: Connection, prepare: Prepare) -> None:
        async def fetch(statement: str, *parameters: Any) -> list[Any]:
            deadline = self._loop.time() + self._timeout
            return await first.fetch(Call(statement, parameters, deadline, deadline))

        await prepare(fetch)

    async def _connect(self, like: Connection | None = None) -> Connection:
        """Make a connection; if the caller is cancelled, that is given up a moment later.

        asyncpg reports errors to nobody if it is cancelled in the moment in which the server accepts.
        """
        task = later(Connection.open(self._login, self._timeout, like))
        self._connecting.add(task)
        task.add_done_callback(self._connecting.discard)
        try:
            connection = await asyncio.shield(task)
        except asyncio.CancelledError:
            task.add_done_callback(_terminate_late)
            self._loop.call_later(_MOMENT, task.cancel)
            raise
        self._all.add(connection)
        return connection

    async def acquire(self, end: float, *, first: bool) -> Connection:
        """Return an idle connection, or wait for one until ``end``; a new one is made meanwhile if allowed.

        Raises:
            NoneFreeError: there was none in time.
            NotSentError: none can be made.
        """
        since = self._loop.time()
        while (connection := self.take_idle()) is None:
            await self._queue(since, end, first=first)
            first = True  # who was woken, and found that somebody was faster, does not begin anew
        return connection

    def take_idle(self) -> Connection | None:
        """Return an idle connection, if there is one."""
        while self._idle:
            connection = self._idle.pop()
            if connection.is_reusable:
                return connection
            self._forget(connection)
        return None

    async def _queue(self, since: float, end: float, *, first: bool) -> None:
        """Wait to be woken until ``end``, as the last or the ``first`` of the queue."""
        waiter = Waiter(self._loop, since)
        if first:
            self._waiters.appendleft(waiter)
        else:
            self._waiters.append(waiter)
        self._grow_if_allowed()
        timer = self._loop.call_at(end, self._give_up, waiter)
        try:
            await waiter.future
        except asyncio.CancelledError:
            if waiter.has_been_woken:
                self._wake()  # it goes to the next
            raise
        finally:
            timer.cancel()

    def _give_up(self, waiter: Waiter) -> None:
        waiter.fail(NoneFreeError(self._refusal))

    def _grow_if_allowed(self) -> None:
        wanted = min(len(self._waiters), 1 if self._pause.is_on else self._most)
        if len(self._all) + len(self._growing) < self._most and len(self._growing) < wanted:
            task = later(self._connect_after_pause())
            self._growing.add(task)
            task.add_done_callback(partial(self._grown, self._loop.time()))

    async def _connect_after_pause(self) -> Connection:
        await self._pause.over()
        connection = await self._connect()
        self._unproven.add(connection)
        return connection

    def _grown(self, started: float, task: asyncio.Task[Connection]) -> None:
        """Hand a new connection to those who wait; if none at all is alive, they learn why."""
        self._growing.discard(task)
        if task.cancelled():
            return
        if (error := task.exception()) is None:
            self._refusal = None
            self.release(task.result())
            if self._pause.is_on:  # others may wait, each of which began none of its own
                self._grow_if_allowed()
            return
        self._refusal = str(error).partition("\n")[0]
        if all(connection.is_closed for connection in self._all):  # one that listens is kept until it is needed
            self._fail_waiters(error, started)
        if self._pause.is_on:
            self._go_on_without_pause()

    def release(self, connection: Connection) -> None:
        """Take a connection back; one that is closed is forgotten."""
        if connection.is_closed or self._closing:
            self._forget(connection)
        else:
            if self._unproven and connection.idle_since and connection in self._unproven:
                self._proven(connection)  # it was given back before, when it was new
            connection.idle_since = self._loop.time()
            self._idle.append(connection)
            if self._trimming is None and len(self._all) > self._least:
                self._trim_later()
        if self._waiters:
            self._wake()

    def _proven(self, connection: Connection) -> None:
        """Take note that a session was used and goes on."""
        self._unproven.discard(connection)
        if self._pause.is_on:
            self._go_on_without_pause()

    def _go_on_without_pause(self) -> None:
        """End the pause, also for those who wait already: with it they shared one attempt."""
        self._pause.end()
        for _ in range(len(self._waiters)):
            self._grow_if_allowed()

    def _wake(self) -> None:
        """Wake the next one in the queue."""
        while self._waiters:
            waiter = self._waiters.popleft()
            if not waiter.future.done():
                waiter.future.set_result(None)
                return

    def _fail_waiters(self, error: BaseException, since: float) -> None:
        """Tell all who have been waiting ``since`` then; for later ones it is tried again."""
        waiting, self._waiters = self._waiters, deque()
        for waiter in waiting:
            if waiter.since > since:
                self._waiters.append(waiter)
                continue
            failure = NotSentError(str(error))
            failure.__cause__ = error.__cause__ or error
            waiter.fail(failure)
        self._wake()

    def _trim_later(self) -> None:
        """Look after a while what is not needed any more."""
        self._trimming = self._loop.call_later(IDLE_SECONDS, self._trim)

    def _trim(self) -> None:
        """Close what has not been used for long; the list is a stack, so that is its bottom."""
        self._trimming = None
        since = self._loop.time() - IDLE_SECONDS
        while self._idle and len(self._all) > self._least and self._idle[0].idle_since <= since:
            self._forget(self._idle.pop(0))
        if self._idle and len(self._all) > self._least:
            self._trim_later()

    def drop_idle(self) -> None:
        """Close the connections that nobody uses."""
        while self._idle:
            self._forget(self._idle.pop())

    def _forget(self, connection: Connection) -> None:
        self._login.doubt()
        if connection in self._unproven:
            self._unproven.discard(connection)
            if not (connection.is_terminated or connection.is_reusable):
                self._pause.lengthen()
        connection.terminate()
        self._all.discard(connection)

    def _terminate_all(self) -> None:
        self._idle.clear()
        for connection in list(self._all):
            self._forget(connection)

    async def close(self) -> None:
        """Close all connections; nobody uses any."""
        self._closing = True
        if self._trimming is not None:
            self._trimming.cancel()
        for growing in self._growing:
            growing.cancel()
        while running := [task for task in (*self._growing, *self._connecting) if not task.done()]:
            await asyncio.wait(running)
        self._terminate_all()
        await asyncio.sleep(0)  # asyncio closes the sockets one step later

    def abandon(self) -> None:
        """Give the connections up, from any thread: see `Engine.abandon`."""
        if self._pid != os.getpid():
            keep_for_parent(self)
            return
        for connection in list(self._all):
            connection.abandon()


def _terminate_late(task: asyncio.Task[Connection]) -> None:
    """Close a connection for which nobody waits any more."""
    if not task.cancelled() and task.exception() is None:
        task.result().terminate()


async def _gather(make: Callable[[], Awaitable[Connection]], count: int) -> list[Connection]:
    """Make several connections at once; if one fails, the caller closes the others."""
    if count == 1:
        return [await make()]
    tasks = [asyncio.ensure_future(make()) for _ in range(max(count, 0))]
    try:
        return [await task for task in tasks]
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
