"""The engine of PostgreSQL: one event loop's connections to a server."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from typing import Any, ClassVar

import asyncpg

from ..driver.commit import Commit
from ..driver.engine import MISSING, Engine
from ..driver.query import KeyQuery
from ..driver.transfer import StoredEntry
from ..errors import StorageError, redact
from ..stats import PoolStats
from . import statements as sql
from . import transfer
from .client import PostgresClient
from .errors import explain
from .facts import doubts, doubts_about, facts
from .fields import Declared
from .indexes import BUILD_SECONDS, FieldIndexes, build
from .listings import Listings
from .login import Known, Login
from .notices import Notices
from .schema import Fetch, Found, set_up, take_over_newer
from .takeover import OlderWrites, TakeOver
from .writer import PATIENCE, Answer, Writer


class PostgresEngine(Engine):
    """Calls of one event loop.

    Args:
        login: what sessions are begun with.
        url: for messages, which show it without the password.
        least: connections that are kept open.
        most: connections at most.
        timeout: seconds that any call waits for the server.
        create: whether `open` sets up what is missing.
        known: what was learnt about the server, shared by all event loops.
        declared: the indexes of fields that there are to be.
    """

    readers: ClassVar[int] = 4
    refusals: ClassVar[tuple[type[Exception], ...]] = (asyncpg.PostgresError, asyncpg.InterfaceError)
    sweeps: ClassVar[bool] = True
    transfers: ClassVar[bool] = True

    def __init__(
        self,
        login: Login,
        *,
        url: str,
        least: int,
        most: int,
        timeout: float,
        create: bool,
        known: Known,
        declared: Declared,
    ) -> None:
        """Nothing is connected yet."""
        self._url = url
        self._timeout = timeout
        self._create = create
        self._known = known
        self._most = most
        self._client = PostgresClient(login, least=least, most=most, timeout=timeout - self.reserve)
        self._writer = Writer(self._client, most=most, timeout=timeout - self.reserve)
        # A session of one's own is needed for building, which a pooler does not give.
        self._declared = declared
        self._indexes = FieldIndexes(
            self._client, known, declared, may_build=lambda: create and login.has_sessions and most > 1
        )
        self._older_writes = OlderWrites()
        self._told_at_open: list[str] | None = None  # doubts that nobody has asked for yet
        self._listings = Listings(self._client, self._indexes)
        self._notices = Notices(self._client, may_listen=lambda: login.has_sessions and most > 1)

    # --- life cycle ------------------------------------------------------------------------------------

    async def open(self) -> None:
        """See `Engine.open`; the first event loop sets up the tables."""
        found: list[Found] = []

        async def prepare(fetch: Fetch) -> None:
            found.append(await set_up(fetch, self._timeout, self._declared.indexes, create=self._create))

        await self._client.open(None if self._known.is_set_up else prepare)
        self._known.is_set_up = True
        for there in found:
            self._older_writes.writes = there.old_writes
            self._told_at_open = doubts_about(*there.durability)
            if self._create and there.indexes:
                self._indexes.start(there.indexes)

    async def close(self) -> None:
        """See `Engine.close`."""
        await self._indexes.stop()
        await self._writer.drain()
        await self._notices.close()
        await self._client.close()

    def abandon(self) -> None:
        """See `Engine.abandon`."""
        self._client.abandon()

    @property
    def reserve(self) -> float:
        """Twice what an attempt waits for a connection; less for a short time-out: the server's ends first."""
        return min(2 * PATIENCE, 0.08 * self._timeout)

    @property
    def pool(self) -> PoolStats:
        """See `Engine.pool`."""
        return self._client.stats

    @property
    def retries(self) -> int:  # type: ignore[override]
        """See `Engine.retries`."""
        return self._client.retries

    # --- the bulk calls --------------------------------------------------------------------------------

    async def read(self, keys: list[str]) -> Sequence[bytes | None]:
        """See `Engine.read`."""
        if len(keys) == 1:
            rows = await self._client.read(sql.READ_ONE, keys[0])
            return [rows[0][0].encode() if rows else None]
        found = dict(await self._client.read(sql.READ, keys))
        return [None if (text := found.get(key)) is None else text.encode() for key in keys]

    async def remaining(self, keys: list[str]) -> Sequence[int]:
        """See `Engine.remaining`."""
        found = dict(await self._client.read(sql.REMAINING, keys))
        return [found.get(key, MISSING) for key in keys]

    async def apply(self, commits: list[Commit]) -> Sequence[Answer]:
        """See `Engine.apply`."""
        answers = await self._writer.apply(commits)
        self._notices.committed(commits, answers)
        return answers

    async def keys(self, query: KeyQuery) -> list[str]:
        """See `Engine.keys`."""
        return await self._listings.keys(query)

    async def keys_below(self, query: KeyQuery, prefix: str) -> list[str]:
        """See `Engine.keys_below`."""
        if not query.exact:  # a pattern looks at whole keys
            return await super().keys_below(query, prefix)
        return await self._listings.keys(query, below=prefix)

    async def entries(self, query: KeyQuery) -> list[tuple[str, bytes]]:
        """See `Engine.entries`."""
        return await self._listings.entries(query)

    async def count(self, query: KeyQuery) -> int:
        """See `Engine.count`."""
        return await self._listings.count(query)

    async def estimate(self, query: KeyQuery) -> int | None:
        """See `Engine.estimate`."""
        return await self.count(query)

    async def page(self, prefix: str, after: str | None) -> list[StoredEntry]:
        """See `Engine.page`."""
        return await transfer.page(self._client, prefix, after)

    async def entries_at(self, keys: Sequence[str]) -> list[StoredEntry]:
        """See `Engine.entries_at`."""
        return await transfer.entries_at(self._client, keys)

    async def store(
        self, entries: Sequence[StoredEntry], expected: Sequence[bytes | None] | None
    ) -> Sequence[bool]:
        """See `Engine.store`."""
        return await transfer.store(self._client, entries, expected)

    async def hears(self, prefix: str) -> bool:
        """See `Engine.hears`: a connection of the pool listens."""
        return await self._notices.hears()

    async def sweep(self, rows: int) -> int:
        """See `Engine.sweep`; on the way, see whether an older agent's tasks still write."""
        await self._older_writes.look(self._client.read)
        return len(await self._client.read(sql.SWEEP, rows, cancellable=True))

    async def take_over(self, *, apply: bool) -> TakeOver:
        """See `PostgresBackend.take_over`."""
        async with self._client.borrowed(self._timeout) as fetch:
            return await take_over_newer(fetch, self._timeout, apply=apply)

    async def facts(self) -> dict[str, Any]:
        """See `Engine.facts`."""
        return {
            **await self._client.in_snapshot(lambda fetch: facts(fetch, self._declared)),
            "pool_max": self._most,
        }

    async def doubts(self) -> list[str]:
        """See `Engine.doubts`: a server that does not wait for its disk."""
        told, self._told_at_open = self._told_at_open, None
        return await doubts(self._client.read) if told is None else told

    async def build_indexes(self) -> bool:
        """Make the indexes that are declared and missing, drop the others; False if another instance is at it."""
        async with self._client.borrowed(BUILD_SECONDS) as fetch:
            return await build(fetch, self._declared)

    async def change_views(self, work: Callable[[Fetch], Awaitable[list[str]]]) -> list[str]:
        """Return what ``work`` does on a connection of its own, which is closed afterwards."""
        async with self._client.borrowed(self._timeout) as fetch:
            return await work(fetch)

    def explain(self, what: str, key: str | None, error: BaseException) -> StorageError:
        """See `Engine.explain`."""
        return explain(what, key, error, address=redact(self._url), timeout=self._timeout)
