"""Commands to one Redis server over a small pool, with the outcome of each failure known.

redis-py's client retries by itself and does not tell whether a command had been sent. Its connections do: a
failure before sending means that nothing happened, a failure after it means that a write may have.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any

from redis.asyncio import BlockingConnectionPool
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import (
    AuthenticationError,
    AuthorizationError,
    NoScriptError,
    RedisError,
    ResponseError,
)

from .errors import UnknownOutcomeError
from .redis_scripts import Script

Argument = str | bytes | int


class NotSentError(Exception):
    """No connection could be made; its cause says why. The command was not sent."""


class RedisLink:
    """A pool of at most ``connections`` connections to one server.

    Args:
        url: as redis-py takes it: ``redis://``, ``rediss://`` or ``unix://``.
        connections: how many at most; callers wait for a free one.
        timeout: seconds for connecting, and for each answer.

    Raises:
        ValueError: redis-py cannot read the URL.
    """

    def __init__(self, url: str, *, connections: int, timeout: float) -> None:
        """Nothing is connected yet."""
        self._timeout = timeout
        self._pool = BlockingConnectionPool.from_url(
            url,
            max_connections=connections,
            timeout=timeout,
            socket_connect_timeout=timeout,
            socket_timeout=timeout,
            retry=Retry(NoBackoff(), 0),
            protocol=2,  # the answers that are used here are the same, and 6.2, 7, 8 and Valkey all speak it
            decode_responses=False,
        )

    async def read(self, *command: Argument) -> Any:
        """Send a command that changes nothing and return its answer; tried again once on a broken connection."""
        async with asyncio.timeout(self._timeout):
            try:
                return await self._exchange(command)
            except (NotSentError, ConnectionError, RedisError) as error:
                if isinstance(error, ResponseError) or _is_refusal(error):
                    raise
            return await self._exchange(command)

    async def write(self, *command: Argument, key: str | None = None) -> Any:
        """Send a command that may change something, exactly once, and return its answer.

        Raises:
            NotSentError: nothing was sent.
            UnknownOutcomeError: it was sent, and no answer came.
            ResponseError: the server refused.
        """
        try:
            async with asyncio.timeout(self._timeout):
                return await self._exchange(command)
        except (NotSentError, ResponseError):
            raise
        except (RedisError, OSError) as error:  # a time-out is an OSError
            raise UnknownOutcomeError(
                f"The connection was lost after the write of {key!r} had been sent ({error}). It may or may not "
                "have been applied: read the key before writing again.",
                key=key,
            ) from error

    async def run(
        self, script: Script, keys: Sequence[Argument], arguments: Sequence[Argument], *, writes: bool
    ) -> Any:
        """Run a script by its hash, and with its text where the server does not know it yet."""
        send = self.write if writes else self.read
        try:
            return await send("EVALSHA", script.sha, len(keys), *keys, *arguments)
        except NoScriptError:
            return await send("EVAL", script.text, len(keys), *keys, *arguments)

    async def _exchange(self, command: Sequence[Argument]) -> Any:
        try:
            connection = await self._pool.get_connection()  # type: ignore[no-untyped-call]
        except (RedisError, OSError) as error:
            raise NotSentError(str(error)) from error
        try:
            await connection.send_packed_command(connection.pack_command(*command))
            return await connection.read_response()
        except ResponseError:
            raise
        except BaseException:
            # Also when cancelled: an answer that is still under way must not reach the next caller.
            await connection.disconnect(nowait=True)
            raise
        finally:
            await self._pool.release(connection)

    async def close(self) -> None:
        """Close all connections."""
        await self._pool.aclose()

    def abandon(self) -> None:
        """Forget the connections without closing them: they belong to another process or event loop."""
        self._pool.reset()  # type: ignore[no-untyped-call]


def _is_refusal(error: Exception) -> bool:
    """Tell whether the server is there and said no, so that trying again cannot help."""
    return isinstance(error.__cause__ or error, AuthenticationError | AuthorizationError)
