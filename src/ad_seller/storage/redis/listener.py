"""The connection on which the server tells what was changed, and that silent ones do not fill its memory.

Redis keeps what it has to tell until it is read: 65 bytes and more for each write. A process that is stopped reads
nothing, and for ordinary connections there is no limit. So a listener also subscribes to a channel: then it counts
as a subscriber, for which the server has a limit (client-output-buffer-limit pubsub, 32 MB unless changed). And
every instance looks now and then for listeners that have fallen behind, and ends their connections.

Each news costs the server a write to a socket. So a listener is told only of the scopes that its instance lists: a
scope is what names begin with, up to the colon that ends their kind (`order:`, `ns:publisher:order:`), or, for who
lists several kinds at once, a namespace or the whole prefix. Scopes can be added to a connection; one in which
others lie needs a new connection, because Redis refuses those that overlap.
"""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Sequence
from typing import Any, Final

from redis.exceptions import ResponseError

from ..concurrency.wakeups import WAITING, tell, wake_all
from ..driver.failures import LostError, NotSentError
from ..records.namespaces import local_key
from .connection import Command, RedisConnection
from .index import run_on
from .pool import NodePool
from .scripts import Argument, Script

NAME: Final = "ad_seller-listener"  #: what CLIENT LIST shows
BEHIND: Final = 8 * 1024 * 1024  #: bytes that wait for a listener which is ended by others

_MOST_KINDS: Final = 16  #: scopes of one connection; each is a look at all keys, and the server compares with each


class Listener:
    """One connection of the pool, on which the server also speaks unasked.

    Args:
        pool: leads to the server.
        prefix: what the names begin with of which changes can be told.
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
        self._by_kind = True  # whether to be told of single kinds
        self._scopes: set[str] = set()  # what is told

    def scope_of(self, start: str) -> str:
        """Return what has to be told for a listing of names that begin with ``start``."""
        if not self._by_kind:
            return self._prefix
        local = local_key(start[len(self._prefix) :])
        return start.removesuffix(local) + local[: local.find(":") + 1]

    def tells_of(self, start: str) -> bool:
        """Tell whether all changes of names that begin so are told, as far as is known."""
        is_open = self._connection is not None and not self._connection.is_closing
        return is_open and start.startswith(tuple(self._scopes))

    def scope_told(self, name: bytes) -> str:
        """Return the scope because of which a change of ``name`` was told."""
        told = (scope for scope in self._scopes if name.startswith(scope.encode()))
        return next(told, self._prefix)

    @property
    def is_quiet(self) -> bool:
        """Whether there is a connection that has missed nothing, as can be told without a closer look."""
        return self._connection is not None and self._connection.is_quiet

    async def is_usable(self) -> bool:
        """Tell whether there is a connection that has missed nothing."""
        return self._connection is not None and await self._connection.is_reusable()

    async def connect(self, scope: str, deadline: float) -> None:
        """Connect, and be told of changes from now on.

        Args:
            scope: what is to be told.
            deadline: in the event loop's time.

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
            self._scopes = {scope}
            _good(await connection.send([_tracking(scope)], deadline))
        except BaseException:
            self._pool.release(connection)
            raise
        self._connection = connection

    async def add(self, scope: str, deadline: float) -> bool:
        """Be told of a scope, too; False: that needs another connection."""
        if self.tells_of(scope):
            return True
        self._by_kind = self._by_kind and len(self._scopes) < _MOST_KINDS
        if not self._by_kind or any(told.startswith(scope) for told in self._scopes):
            return False
        self._scopes.add(scope)
        try:
            await self.ask(_tracking(scope), deadline)
        except BaseException as error:
            self.drop()  # nobody knows what is told now
            if not isinstance(error, ResponseError):
                raise
            self._by_kind = False
        return self._by_kind

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
        self._scopes = set()
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


def _tracking(scope: str) -> Command:
    return ("CLIENT", "TRACKING", "ON", "BCAST", *(("PREFIX", scope) if scope else ()))


def _good(answers: list[Any]) -> Any:
    """Return the only answer, or raise what the server refused with."""
    [answer] = answers
    if isinstance(answer, Exception):
        raise answer
    return answer
