"""Commands to one Redis server over a small pool, with the outcome of each failure known.

redis-py's client retries by itself and does not tell whether a command had been sent. Its connections do: a
failure before sending means that nothing happened, a failure after it means that a write may have.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Sequence
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

Argument = str | bytes | int
Command = Sequence[Argument]

#: Answers of a server that executed nothing, which redis-py raises as broken connections.
_REFUSALS = (AuthenticationError, AuthorizationError, BusyLoadingError)


_left_to_the_parent: list[ConnectionPool] = []


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
        # Not redis-py's blocking pool: its condition can lose a wake-up when a waiter is cancelled.
        self._free = asyncio.Semaphore(connections)
        self._pool = ConnectionPool.from_url(
            url,
            max_connections=connections,
            socket_connect_timeout=timeout,
            socket_timeout=timeout,
            retry=Retry(NoBackoff(), 0),
            protocol=2,  # the answers that are used here are the same, and 6.2, 7, 8 and Valkey all speak it
            decode_responses=False,
        )
        self._pool.make_connection()  # type: ignore[no-untyped-call]  # connects nothing, but refuses unknown options now

    async def pipeline(self, commands: Sequence[Command], deadline: float) -> list[Any]:
        """Send commands together and return their answers; one that the server refused is a `ResponseError`.

        Args:
            commands: sent in this order, over one connection.
            deadline: in the event loop's time.

        Raises:
            NotSentError: none was executed.
            BrokenError: some may have been.
        """
        connection = await self._connection(deadline)
        answers: list[Any] = []
        try:
            async with asyncio.timeout_at(deadline):
                await connection.send_packed_command(connection.pack_commands(commands))
                while len(answers) < len(commands):
                    answers.append(await _answer(connection))
        except BaseException as error:
            # Also when cancelled: an answer that is still under way must not reach the next caller.
            await connection.disconnect(nowait=True)
            if isinstance(error, _REFUSALS) and not answers:
                raise NotSentError(str(error)) from error
            if isinstance(error, RedisError | OSError):
                raise BrokenError(_reason(error)) from error
            raise
        finally:
            await self._pool.release(connection)
            self._free.release()
        return answers

    async def _connection(self, deadline: float) -> Any:
        try:
            async with asyncio.timeout_at(deadline):
                await self._free.acquire()
                try:
                    return await self._pool.get_connection()  # type: ignore[no-untyped-call]
                except BaseException:
                    self._free.release()
                    raise
        except (RedisError, OSError) as error:
            raise NotSentError(_reason(error)) from error

    async def close(self) -> None:
        """Close all connections."""
        await self._pool.aclose()

    def abandon(self) -> None:
        """Forget the connections: they belong to a parent process, or to an event loop that has ended."""
        if self._pid != os.getpid():
            # Not even collected as garbage: asyncio would take their sockets out of the parent's epoll set.
            _left_to_the_parent.append(self._pool)
            return
        for connection in (*self._pool._available_connections, *self._pool._in_use_connections):
            if connection._writer is not None:
                # The loop that could close the transport has ended; only the socket itself can be closed.
                connection._writer.transport.get_extra_info("socket")._sock.close()


async def _answer(connection: Any) -> Any:
    try:
        return await connection.read_response()
    except ResponseError as error:
        return error


def _reason(error: BaseException) -> str:
    return str(error) or ("no answer in time" if isinstance(error, TimeoutError) else type(error).__name__)
