"""Commands to one Redis server over a small pool, with the outcome of each failure known.

redis-py's client retries by itself and does not tell whether a command had been sent. Its connections do: a
failure before sending means that nothing happened, a failure after it means that a write may have.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable, Sequence
from typing import Any

from redis.asyncio import ConnectionPool
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import (
    AuthenticationError,
    AuthorizationError,
    BusyLoadingError,
    RedisError,
    ResponseError,
)

from .connection import Argument, Command, Wire

__all__ = ["Argument", "BrokenError", "Command", "NotSentError", "RedisLink"]

#: Answers of a server that executed nothing, which redis-py takes for broken connections.
_REFUSALS = (AuthenticationError, AuthorizationError, BusyLoadingError)

_left_to_the_parent: list[Wire] = []


class NotSentError(Exception):
    """The commands were not executed; the cause says why."""


class BrokenError(Exception):
    """The connection broke, or no answer came, after the commands had been sent; the cause says why."""


class RedisLink:
    """A pool of connections to one server.

    Args:
        url: as redis-py takes it: ``redis://``, ``rediss://`` or ``unix://``.
        connections: how many at most; callers wait for a free one.
        timeout: seconds for connecting.

    Raises:
        ValueError: redis-py cannot read the URL.
    """

    def __init__(self, url: str, *, connections: int, timeout: float) -> None:
        """Nothing is connected yet."""
        self._pid = os.getpid()
        self._url = url
        self._timeout = timeout
        self._most = connections
        # No pool of redis-py: one raises when empty, the other can lose a wake-up when a waiter is cancelled.
        self._free = asyncio.Semaphore(connections)
        self._idle: list[Wire] = []
        self._wires: set[Wire] = set()
        self._connection()  # connects nothing, but refuses unknown options now

    async def pipeline(self, commands: Sequence[Command], deadline: float) -> list[Any]:
        """Send commands together and return their answers; one that the server refused is a `ResponseError`.

        Args:
            commands: sent in this order, over one connection.
            deadline: in the event loop's time.

        Raises:
            NotSentError: none was executed.
            BrokenError: some may have been.
        """
        wire = await self._take(deadline)
        try:
            return await exchange(wire, commands, deadline)
        except BaseException:
            # Also when cancelled: an answer that is still under way must not reach the next caller.
            self._discard(wire)
            raise
        finally:
            self._give_back(wire)

    async def dedicated(self, on_push: Callable[[list[Any]], None], deadline: float) -> Wire:
        """Return a connection for one user, on which the server also speaks unasked (RESP3).

        It counts as one of the link's connections until it is given to `release`.

        Raises:
            NotSentError: there is none; the cause says why.
        """
        await self._permit(deadline)
        try:
            if len(self._wires) >= self._most:
                self._discard(self._idle.pop())  # there is one, because not all places are taken
            return await self._connect(deadline, on_push)
        except BaseException:
            self._free.release()
            raise

    def release(self, wire: Wire) -> None:
        """Close a dedicated connection."""
        self._discard(wire)
        self._free.release()

    # --- the pool --------------------------------------------------------------------------------------

    async def _take(self, deadline: float) -> Wire:
        await self._permit(deadline)
        try:
            while self._idle:
                if await self._is_usable(wire := self._idle.pop()):
                    return wire
            return await self._connect(deadline)
        except BaseException:
            self._free.release()
            raise

    async def _is_usable(self, wire: Wire) -> bool:
        """Tell whether a wire that was idle can be used; one that cannot, or is not waited for, is closed."""
        usable = False
        try:
            usable = await wire.is_open()
        finally:
            if not usable:
                self._discard(wire)
        return usable

    async def _permit(self, deadline: float) -> None:
        """Wait until there may be one more connection."""
        if not self._free.locked():
            await self._free.acquire()  # does not wait
            return
        try:
            async with asyncio.timeout_at(deadline):
                await self._free.acquire()
        except TimeoutError as error:
            raise NotSentError(_reason(error)) from error

    def _give_back(self, wire: Wire) -> None:
        if wire in self._wires:
            self._idle.append(wire)
        self._free.release()

    def _discard(self, wire: Wire) -> None:
        self._wires.discard(wire)
        wire.close()

    async def _connect(self, deadline: float, on_push: Callable[[list[Any]], None] | None = None) -> Wire:
        connection = self._connection(2 if on_push is None else 3)
        try:
            async with asyncio.timeout_at(deadline):
                await connection.connect()
        except BaseException as error:
            connection._close()
            if isinstance(error, RedisError | OSError):
                raise NotSentError(_reason(error)) from error
            raise
        wire = Wire(connection, on_push)
        self._wires.add(wire)
        return wire

    def _connection(self, protocol: int = 2) -> Any:
        """Return a connection of redis-py that is not connected yet."""
        # RESP2 unless it is needed: the answers are the same, and 6.2, 7, 8 and Valkey all speak it.
        pool = ConnectionPool.from_url(
            self._url,
            socket_connect_timeout=self._timeout,
            socket_timeout=self._timeout,
            retry=Retry(NoBackoff(), 0),
            protocol=protocol,
            decode_responses=False,
        )
        return pool.make_connection()  # type: ignore[no-untyped-call]

    async def close(self) -> None:
        """Close all connections."""
        for wire in list(self._wires):
            self._discard(wire)
        self._idle.clear()
        await asyncio.sleep(0)  # the transports close their sockets in the next turn

    def abandon(self) -> None:
        """Forget the connections: they belong to a parent process, or to an event loop that has ended."""
        if self._pid != os.getpid():
            # Not even collected as garbage: asyncio would take their sockets out of the parent's epoll set.
            _left_to_the_parent.extend(self._wires)
            return
        for wire in self._wires:
            wire.abandon()
        self._wires.clear()
        self._idle.clear()


async def exchange(wire: Wire, commands: Sequence[Command], deadline: float) -> list[Any]:
    """Send commands and return their answers, as `RedisLink.pipeline` does.

    Raises:
        NotSentError: none was executed.
        BrokenError: some may have been.
    """
    if wire.is_closing:
        raise NotSentError("the connection was closed")
    try:
        answers = await wire.send(commands, deadline)
    except (RedisError, OSError) as error:
        raise BrokenError(_reason(error)) from error
    for position, answer in enumerate(answers):
        if isinstance(answer, RedisError) and not isinstance(answer, ResponseError):
            if position == 0 and isinstance(answer, _REFUSALS):
                raise NotSentError(str(answer)) from answer
            raise BrokenError(_reason(answer)) from answer
    return answers


def _reason(error: BaseException) -> str:
    return str(error) or ("no answer in time" if isinstance(error, TimeoutError) else type(error).__name__)
