"""What instances on one server tell each other: that something was added to a log or an outbox.

Transactions that notify commit one after the other, their flush to the disk included (`PreCommit_Notify` in
PostgreSQL's async.c). So no commit of ours notifies: it is told afterwards, in a transaction that writes nothing,
and at most every 20 ms. A notice that is lost costs who waits a later look.
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import Callable, Iterable, Sequence
from functools import partial
from typing import Any, Final

import asyncpg

from ..concurrency.tasks import later
from ..concurrency.wakeups import tell
from ..driver.commit import Commit
from ..driver.failures import EngineError
from ..driver.followed import followed_prefixes
from .client import PostgresClient
from .connection import Connection, UnusableError

CHANNEL: Final = "ad_seller_storage"
_NOTIFY: Final = "SELECT pg_notify($1, name) FROM unnest($2::text[]) AS name"
_PAUSE: Final = 0.02  #: seconds between two notices of one instance
_PATIENCE: Final = 1.0  #: seconds for each step of listening

_TROUBLE = (EngineError, UnusableError, asyncpg.PostgresError, asyncpg.InterfaceError, OSError)


class Notices:
    """Tells others, and hears them once somebody waits here.

    Args:
        client: of the server.
        may_listen: whether there can be a session of one's own.
    """

    def __init__(self, client: PostgresClient, may_listen: Callable[[], bool]) -> None:
        """Tell nothing and hear nothing yet."""
        self._client = client
        self._may_listen = may_listen
        self._loop = asyncio.get_running_loop()
        self._names: set[str] = set()  # to be told
        self._timer: asyncio.TimerHandle | None = None
        self._telling: set[asyncio.Task[None]] = set()
        self._connection: Connection | None = None
        self._lock = asyncio.Lock()
        self._failed = -math.inf  # when a connection could not be made
        self._closed = False

    # --- telling ---------------------------------------------------------------------------------------

    def committed(self, commits: Iterable[Commit], answers: Sequence[Any]) -> None:
        """Tell of what was added; of a commit that waits for a row when it has waited."""
        if not followed_prefixes(commits):
            return
        done: list[Commit] = []
        for commit, answer in zip(commits, answers, strict=True):
            if isinstance(answer, asyncio.Future):
                answer.add_done_callback(partial(self._told_late, commit))
            else:
                done.append(commit)
        self._tell(done)

    def _told_late(self, commit: Commit, _answer: asyncio.Future[Any]) -> None:
        if not self._closed:
            self._tell([commit])

    def _tell(self, commits: Iterable[Commit]) -> None:
        names = followed_prefixes(commits)
        if names:
            self._names |= names
            if self._timer is None:
                self._send()

    def _send(self) -> None:
        self._timer = None
        if self._names:
            names, self._names = self._names, set()
            self._timer = self._loop.call_later(_PAUSE, self._send)
            task = later(self._notify(sorted(names)))
            self._telling.add(task)
            task.add_done_callback(self._telling.discard)

    async def _notify(self, names: list[str]) -> None:
        try:
            await self._client.read(_NOTIFY, CHANNEL, names)
        except _TROUBLE:
            return  # who waits looks all the same

    # --- hearing ---------------------------------------------------------------------------------------

    async def hears(self) -> bool:
        """See `Engine.hears`; a connection that has ended unseen is noticed here."""
        if self._closed or not self._may_listen():
            return False
        began = self._loop.time()
        async with self._lock:
            if self._failed >= began:  # or all who wait here would find out one after the other
                return False
            try:
                if self._connection is None:
                    self._connection = await self._client.listening(CHANNEL, self._hear, _PATIENCE)
                else:
                    await self._client.look_at(self._connection, _PATIENCE)
            except _TROUBLE:
                if self._connection is None:  # of one that was lost, the next makes another
                    self._failed = self._loop.time()
                self._drop()
        return self._connection is not None

    def _hear(self, _connection: Any, _process: int, _channel: str, name: str) -> None:
        tell([name])

    def _drop(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            self._client.end(connection)

    async def close(self) -> None:
        """Tell what is left to be told, and hear nothing any more."""
        self._closed = True
        if self._timer is not None:
            self._timer.cancel()
        self._send()
        if self._timer is not None:
            self._timer.cancel()
        if self._telling:
            await asyncio.wait(self._telling)
        self._drop()
