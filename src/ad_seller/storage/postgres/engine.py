"""The engine of PostgreSQL: one event loop's connections to a server."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from typing import Any, ClassVar

from ..concurrency.timeslice import TimeSlice
from ..driver.commit import Commit
from ..driver.engine import MISSING, Engine
from ..driver.query import KeyQuery
from ..errors import StorageError
from . import statements as sql
from .client import PostgresClient
from .errors import explain
from .fields import Search
from .indexes import FieldIndexes
from .schema import Fetch, set_up
from .writer import PATIENCE, Answer, Writer

_KEY_ROWS = 10_000  #: keys of one statement of a listing
_ENTRY_ROWS = 1_000  #: entries, likewise


class PostgresEngine(Engine):
    """Calls of one event loop.

    Args:
        dsn: the URL as asyncpg reads it.
        address: the URL without the password, for messages.
        least: connections that are kept open.
        most: connections at most.
        timeout: seconds that any call waits for the server.
        statement_cache: whether statements are prepared on the server, and session settings relied on.
    """

    readers: ClassVar[int] = 4
    sweeps: ClassVar[bool] = True

    def __init__(
        self, dsn: str, *, address: str, least: int, most: int, timeout: float, statement_cache: bool
    ) -> None:
        """Nothing is connected yet."""
        self._dsn = dsn
        self._address = address
        self._timeout = timeout
        self._statement_cache = statement_cache
        self._client = PostgresClient(self._options(), least=least, most=most, timeout=timeout - self.reserve)
        self._writer = Writer(self._client, most=most, timeout=timeout - self.reserve)
        # A session of one's own is needed for building, which a pooler does not give.
        self._indexes = FieldIndexes(self._client, may_build=statement_cache and most > 1)

    def _options(self) -> dict[str, Any]:
        """Return what `asyncpg.connect` is called with."""
        settings = {} if "application_name=" in self._dsn else {"application_name": sql.APPLICATION}
        if not self._statement_cache:
            return {"dsn": self._dsn, "statement_cache_size": 0, "server_settings": settings}
        return {
            "dsn": self._dsn,
            "max_cached_statement_lifetime": 0,  # for ever
            "server_settings": settings | sql.session_settings(self._timeout),
        }

    # --- life cycle ------------------------------------------------------------------------------------

    async def open(self) -> None:
        """See `Engine.open`; sets up the tables first."""

        async def prepare(fetch: Fetch) -> None:
            await set_up(fetch, self._timeout)

        await self._client.open(prepare)

    async def close(self) -> None:
        """See `Engine.close`."""
        await self._indexes.stop()
        await self._writer.drain()
        await self._client.close()

    def abandon(self) -> None:
        """See `Engine.abandon`."""
        self._client.abandon()

    @property
    def reserve(self) -> float:
        """Twice what an attempt waits for a connection; less for a short time-out: the server's ends first."""
        return min(2 * PATIENCE, 0.08 * self._timeout)

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
        return await self._writer.apply(commits)

    async def keys(self, query: KeyQuery) -> list[str]:
        """See `Engine.keys`."""
        found: list[str] = []
        async for keys in self._pages("key", query, _KEY_ROWS):
            found += keys if query.exact else filter(query.has, keys)
            if query.limit is not None and len(found) >= query.limit:
                return found[: query.limit]
        return found

    async def entries(self, query: KeyQuery) -> list[tuple[str, bytes]]:
        """See `Engine.entries`."""
        found: list[tuple[str, bytes]] = []
        search = await self._indexes.narrowest(query) if query.where else None
        async for rows in self._pages("key, value", query, _ENTRY_ROWS, search):
            found += [(key, text.encode()) for key, text in rows if query.exact or query.has(key)]
            if query.limit is not None and len(found) >= query.limit:
                return found[: query.limit]
        return found

    async def count(self, query: KeyQuery) -> int:
        """See `Engine.count`."""
        if not query.exact:
            return len(await self.keys(query))
        statement, parameters = sql.select("count(*)", query, None, None)
        [(number,)] = await self._client.read(statement, *parameters, cancellable=True)
        return int(number)

    async def _pages(
        self, columns: str, query: KeyQuery, rows: int, search: Search | None = None
    ) -> AsyncIterator[list[Any]]:
        """Yield the keys or rows of the query's range, or of a search in it, so many that no answer takes long."""
        if query.exact and query.limit is not None:
            rows = min(rows, query.limit)
        after = query.after if query.after is not None and query.after >= query.glob.prefix else None
        pace = TimeSlice()
        while True:
            statement, parameters = (
                search.select(after, rows) if search else sql.select(columns, query, after, rows)
            )
            page = await self._client.read(statement, *parameters, cancellable=True)
            if columns == "key":
                [(page,)] = page
            yield page
            if len(page) < rows:
                return
            after = page[-1] if columns == "key" else page[-1][0]
            await pace.checkpoint()

    async def sweep(self, rows: int) -> int:
        """See `Engine.sweep`."""
        return len(await self._client.read(sql.SWEEP, rows, cancellable=True))

    def explain(self, what: str, key: str | None, error: BaseException) -> StorageError:
        """See `Engine.explain`."""
        return explain(what, key, error, address=self._address, timeout=self._timeout)
