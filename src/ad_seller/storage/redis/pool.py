"""Commands to one Redis server over a small pool, with the outcome of each failure known.

redis-py's client retries by itself and does not tell whether a command had been sent. Its connections do: a
failure before sending means that nothing happened, a failure after it means that a write may have.
"""

from __future__ import annotations

import asyncio
import math
import os
from collections.abc import Callable, Sequence
from typing import Any
from urllib.parse import urlsplit

from redis.exceptions import RedisError

from ..concurrency.forks import keep_for_parent
from ..driver.failures import LostError, NotSentError
from ..passwords import Password, PasswordFunctionError, asked
from ..stats import PoolStats
from . import redispy
from .connection import Command, RedisConnection, reason_in

#: How much of a call's time the function for the password may take: logging in takes some, too.
_ASKING = 0.8


class NodePool:
    """A pool of connections to one server.

    Args:
        url: as redis-py takes it: ``redis://``, ``rediss://`` or ``unix://``.
        connections: how many at most; callers wait for a free one.
        password: in place of the one in the URL.

    Raises:
        ValueError: redis-py cannot read the URL.
    """

    def __init__(self, url: str, *, connections: int, password: Password | None = None) -> None:
        """Nothing is connected yet."""
        self._pid = os.getpid()
        self._url = url
        self._password = password
        self._most = connections
        # No pool of redis-py: one raises when empty, the other can lose a wake-up when a waiter is cancelled.
        self._free = asyncio.Semaphore(connections)
        self._waiting = 0
        self._idle: list[RedisConnection] = []
        self._open: set[RedisConnection] = set()
        self.vouched_at = -math.inf  #: until when, by `elapsed`, the server is known to be what it says
        redispy.check_options(url)

    @property
    def server(self) -> str:
        """Its host and port, for readers."""
        return urlsplit(self._url).netloc.rpartition("@")[2]

    @property
    def stats(self) -> PoolStats:
        """The connections at this moment."""
        return PoolStats(len(self._open), len(self._idle), self._most, self._waiting)

    async def pipeline(self, commands: Sequence[Command], deadline: float) -> list[Any]:
        """Send commands together and return their answers; one that the server refused is a `ResponseError`.

        Args:
            commands: sent in this order, over one connection.
            deadline: in the event loop's time.

        Raises:
            NotSentError: none was executed.
            LostError: some may have been.
        """
        if self._free.locked() or not (self._idle and self._idle[-1].is_quiet):
            connection = await self._take(deadline)
        else:  # most often; nothing of this waits
            await self._free.acquire()
            connection = self._idle.pop()
        try:
            return await connection.send(commands, deadline)
        except BaseException as error:
            self.learn(error)
            # Also when cancelled: an answer that is still under way must not reach the next caller.
            self._discard(connection)
            raise
        finally:
            self._give_back(connection)

    async def dedicated(self, on_push: Callable[[list[Any]], None], deadline: float) -> RedisConnection:
        """Return a connection for one user, on which the server also speaks unasked (RESP3).

        It counts as one of the pool's connections until it is given to `release`.

        Raises:
            NotSentError: there is none; the cause says why.
        """
        await self._permit(deadline)
        try:
            if len(self._open) >= self._most:
                self._discard(self._idle.pop())  # there is one, because not all places are taken
            return await self._connect(deadline, on_push)
        except BaseException:
            self._free.release()
            raise

    def learn(self, error: BaseException) -> None:
        """Doubt the idle connections if one had no answer in time: what dropped it has dropped them, too.

        One that waits for its next command is closed, one that listens is asked before it is used again.
        """
        if isinstance(error, LostError) and isinstance(error.__cause__, TimeoutError):
            idle, self._idle = self._idle, []
            for connection in idle:
                self._discard(connection)
            for connection in self._open:
                connection.is_doubtful = True

    def release(self, connection: RedisConnection) -> None:
        """Close a dedicated connection."""
        self._discard(connection)
        self._free.release()

    # --- the pool --------------------------------------------------------------------------------------

    async def _take(self, deadline: float) -> RedisConnection:
        await self._permit(deadline)
        try:
            while self._idle:
                if await self._is_usable(connection := self._idle.pop()):
                    return connection
            return await self._connect(deadline)
        except BaseException:
            self._free.release()
            raise

    async def _is_usable(self, connection: RedisConnection) -> bool:
        """Tell whether a connection that was idle can be used; one that cannot, or is not waited for, is closed."""
        usable = False
        try:
            usable = await connection.is_reusable()
        finally:
            if not usable:
                self._discard(connection)
        return usable

    async def _permit(self, deadline: float) -> None:
        """Wait until there may be one more connection."""
        if not self._free.locked():
            await self._free.acquire()  # does not wait
            return
        self._waiting += 1
        try:
            async with asyncio.timeout_at(deadline):
                await self._free.acquire()
        except TimeoutError as error:
            raise NotSentError(reason_in(error)) from error
        finally:
            self._waiting -= 1

    def _give_back(self, connection: RedisConnection) -> None:
        if connection in self._open:
            self._idle.append(connection)
        self._free.release()

    def _discard(self, connection: RedisConnection) -> None:
        self._open.discard(connection)
        connection.close()

    async def _connect(
        self, deadline: float, on_push: Callable[[list[Any]], None] | None = None
    ) -> RedisConnection:
        # RESP2 unless it is needed: the answers are the same, and 6.2, 7, 8 and Valkey all speak it.
        protocol = 2 if on_push is None else 3
        try:
            password = await self._asked_password(deadline)
            async with asyncio.timeout_at(deadline):
                connected = await redispy.connect(self._url, protocol=protocol, password=password)
            connection = RedisConnection(connected, on_push)
        except (RedisError, OSError, PasswordFunctionError, ValueError, RuntimeError) as error:
            raise NotSentError(reason_in(error)) from error  # also for a name that is none, or want of threads
        self._open.add(connection)
        return connection

    async def _asked_password(self, deadline: float) -> str | None:
        if not callable(self._password):
            return self._password
        left = deadline - asyncio.get_running_loop().time()
        try:
            async with asyncio.timeout(_ASKING * left):
                return await asked(self._password)
        except TimeoutError as error:
            raise PasswordFunctionError("the function for the password did not return in time") from error

    async def close(self) -> None:
        """Close all connections."""
        for connection in list(self._open):
            self._discard(connection)
        self._idle.clear()
        await asyncio.sleep(0)  # the transports close their sockets in the next turn

    def abandon(self) -> None:
        """Give the connections up, from any thread; what belongs to a parent process is left alone."""
        if self._pid != os.getpid():
            keep_for_parent(self)
            return
        for connection in list(self._open):
            connection.abandon()
        self._open.clear()
        self._idle.clear()
