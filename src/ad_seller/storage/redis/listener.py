"""The connection on which the server tells what was changed, and that silent ones do not fill its memory.

Redis keeps what it has to tell until it is read: 65 bytes and more for each write. A process that is stopped reads
nothing, and for ordinary connections there is no limit. So a listener also subscribes to a channel: then it counts
as a subscriber, for which the server has a limit (client-output-buffer-limit pubsub, 32 MB unless changed). And
every instance looks now and then for listeners that have fallen behind, and ends their connections.
"""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Sequence
from typing import Any, Final

from redis.exceptions import ResponseError

from ..concurrency.wakeups import WAITING, tell, wake_all
from ..driver.failures import LostError, NotSentError
from .connection import Command, RedisConnection
from .index import run_on
from .pool import NodePool
from .scripts import Argument, Script

NAME: Final = "ad_seller-listener"  #: what CLIENT LIST shows
BEHIND: Final = 8 * 1024 * 1024  #: bytes that wait for a listener which is ended by others


class Listener:
    """One connection of the pool, on which the server also speaks unasked.

    Args:
        pool: leads to the server.
        prefix: what the names begin with of which changes are told.
        index: the name of the index, for scripts.
        hear: gets what the server says unasked.
    """

    def __init__(self, pool: NodePool, prefix: str, index: str, hear: Callable[[list[Any]], None]) -> None:
        """Connect nothing yet."""
        self._pool = pool
        self._prefix = prefix
        self._index = index
        self._hear = hear
        self._connection: RedisConnection | None = None

    @property
    def is_open(self) -> bool:
        """Whether there is a connection, as far as is known."""
        return self._connection is not None and not self._connection.is_closing

    @property
    def is_quiet(self) -> bool:
        """Whether there is a connection that has missed nothing, as can be told without a closer look."""
        return self._connection is not None and self._connection.is_quiet

    async def is_usable(self) -> bool:
        """Tell whether there is a connection that has missed nothing."""
        return self._connection is not None and await self._connection.is_reusable()

    async def connect(self, deadline: float) -> None:
        """Connect, and be told of changes from now on.

        Raises:
            ResponseError: the server cannot speak unasked, or may not.
            NotSentError, LostError: it cannot be reached.
        """
        try:
            connection = await self._pool.dedicated(self._told, deadline)
        except NotSentError as error:
            if isinstance(error.__cause__, ResponseError):
                raise error.__cause__ from error  # it cannot speak unasked
            raise
        try:
            # Who may not set a name or subscribe listens all the same.
            await connection.send(
                [("CLIENT", "SETNAME", NAME), ("SUBSCRIBE", f"{self._prefix}\0listeners")], deadline
            )
            prefix = ("PREFIX", self._prefix) if self._prefix else ()
            _good(await connection.send([("CLIENT", "TRACKING", "ON", "BCAST", *prefix)], deadline))
        except BaseException:
            self._pool.release(connection)
            raise
        self._connection = connection

    def _told(self, push: list[Any]) -> None:
        """Wake who waits for what was changed, and pass it on."""
        if WAITING and push[0] == b"invalidate":
            if push[1] is None:
                wake_all()
            else:
                skipped = len(self._prefix.encode())
                tell(name[skipped:].decode(errors="replace") for name in push[1])
        self._hear(push)

    async def ask(self, command: Command, deadline: float) -> Any:
        """Send a command and return its answer; before it comes what had happened when the server took it."""
        return _good(await self._open_connection().send([command], deadline))

    def run(
        self, calls: Sequence[tuple[Script, Sequence[Argument]]], deadline: float
    ) -> Coroutine[Any, Any, list[Any]]:
        """Run scripts on the index, as `run_on` does."""
        return run_on(self._open_connection(), calls, self._index, deadline)

    def _open_connection(self) -> RedisConnection:
        if self._connection is None:
            raise NotSentError("the connection was closed")
        return self._connection

    def drop(self) -> None:
        """Close the connection; what happens from now on is missed."""
        connection, self._connection = self._connection, None
        if connection is not None:
            self._pool.release(connection)


async def end_silent_listeners(pool: NodePool, deadline: float) -> int:
    """End the listeners that have fallen behind, so that the server can use its memory; return how many.

    An instance that may not look at connections, or not end them, leaves that to others.
    """
    try:
        [clients] = await pool.pipeline([("CLIENT", "LIST")], deadline)
        if isinstance(clients, Exception):
            return 0
        silent = [one[b"id"] for one in map(_fields, clients.splitlines()) if _is_silent(one)]
        if not silent:
            return 0
        answers = await pool.pipeline([("CLIENT", "KILL", "ID", one) for one in silent], deadline)
    except (NotSentError, LostError):
        return 0
    return sum(answer for answer in answers if isinstance(answer, int))


def _fields(line: bytes) -> dict[bytes, bytes]:
    return {name: value for name, _, value in (field.partition(b"=") for field in line.split())}


def _is_silent(client: dict[bytes, bytes]) -> bool:
    return client.get(b"name") == NAME.encode() and int(client.get(b"omem", 0)) > BEHIND


def _good(answers: list[Any]) -> Any:
    """Return the only answer, or raise what the server refused with."""
    [answer] = answers
    if isinstance(answer, Exception):
        raise answer
    return answer
