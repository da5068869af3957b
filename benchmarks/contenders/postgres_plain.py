"""PostgreSQL through asyncpg, without a store in between."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from typing import Any

from ..contender import Change, Contender, Row, added, chunks
from ..data import Value

CONNECTIONS = 10

TABLE = 'CREATE TABLE IF NOT EXISTS kv (key text COLLATE "C" PRIMARY KEY, value text NOT NULL, expires_at float8)'
INDEX = (
    "CREATE INDEX IF NOT EXISTS kv_status ON kv (((value::jsonb)->>'status')) "
    "WHERE key >= 'order:' AND key < 'order;'"
)
LIVE = "(expires_at IS NULL OR expires_at > extract(epoch FROM clock_timestamp()))"
GET = f"SELECT value FROM kv WHERE key = $1 AND {LIVE}"
PUT = (
    "INSERT INTO kv VALUES ($1, $2, $3) ON CONFLICT (key) DO UPDATE SET value = excluded.value, "
    "expires_at = excluded.expires_at"
)
DELETE = "DELETE FROM kv WHERE key = $1 RETURNING 1"
KEYS = f"SELECT key FROM kv WHERE key >= $1 AND key < $2 AND {LIVE} ORDER BY key"
ENTRIES = f"SELECT value FROM kv WHERE key >= $1 AND key < $2 AND {LIVE} ORDER BY key"
PAGE = f"SELECT key, value FROM kv WHERE key > $1 AND key < $2 AND {LIVE} ORDER BY key LIMIT $3"
LOCK = "SELECT key, value FROM kv WHERE key = ANY($1) ORDER BY key FOR UPDATE"
FIND = (
    "SELECT value FROM kv WHERE (value::jsonb)->>'status' = $1 AND key >= 'order:' AND key < 'order;' "
    f"AND {LIVE} ORDER BY key"
)


def after(prefix: str) -> str:
    """The end of the range of keys that start with ``prefix``."""
    return prefix[:-1] + chr(ord(prefix[-1]) + 1)


class Connection:
    """A connection and its prepared statements, each prepared at first use."""

    def __init__(self, raw: Any) -> None:
        self.raw = raw
        self.prepared: dict[str, Any] = {}

    async def prepare(self, text: str) -> Any:
        self.prepared[text] = await self.raw.prepare(text)
        return self.prepared[text]


class Prepared(Contender):
    """Ten connections that are kept, each with its statements prepared: no pool that resets them, one call each."""

    async def open(self) -> None:
        import asyncpg
        import msgspec

        self.encode = msgspec.json.Encoder().encode
        self.decode = msgspec.json.Decoder().decode
        self._connect = asyncpg.connect
        self.free: asyncio.LifoQueue[Connection] = asyncio.LifoQueue()
        self.connections: list[Any] = []
        self._opened = 0
        async with self._connection() as connection:
            await connection.raw.execute(TABLE)

    async def close(self) -> None:
        for connection in self.connections:
            await connection.close()

    async def _take(self) -> Connection:
        if not self.free.empty() or self._opened >= CONNECTIONS:
            return await self.free.get()
        self._opened += 1
        connection = await self._connect(self.place)
        self.connections.append(connection)
        return Connection(connection)

    @asynccontextmanager
    async def _connection(self) -> AsyncIterator[Connection]:
        connection = await self._take()
        try:
            yield connection
        finally:
            self.free.put_nowait(connection)

    async def _fetch(self, statement: str, *arguments: Any) -> list[Any]:
        connection = await self._take()
        try:
            prepared = connection.prepared.get(statement) or await connection.prepare(statement)
            rows: list[Any] = await prepared.fetch(*arguments)
            return rows
        finally:
            self.free.put_nowait(connection)

    async def fill(self, rows: Iterator[Row]) -> None:
        async with self._connection() as connection:
            for chunk in chunks(rows, 5_000):
                records = [(key, self.encode(value).decode(), None) for key, value in chunk]
                await connection.raw.copy_records_to_table("kv", records=records)
            await connection.raw.execute("VACUUM ANALYZE kv")

    async def index(self) -> None:
        async with self._connection() as connection:
            await connection.raw.execute(INDEX)
            await connection.raw.execute("ANALYZE kv")

    async def get(self, key: str) -> Value | None:
        rows = await self._fetch(GET, key)
        return self.decode(rows[0][0]) if rows else None

    async def set(self, key: str, value: Value, ttl: int | None = None) -> None:
        expires_at = None if ttl is None else time.time() + ttl
        await self._fetch(PUT, key, self.encode(value).decode(), expires_at)

    async def delete(self, key: str) -> bool:
        return bool(await self._fetch(DELETE, key))

    async def keys(self, prefix: str) -> list[str]:
        return [row[0] for row in await self._fetch(KEYS, prefix, after(prefix))]

    async def entries(self, prefix: str) -> list[Value]:
        return [self.decode(row[0]) for row in await self._fetch(ENTRIES, prefix, after(prefix))]

    async def page(self, prefix: str, cursor: Any, limit: int) -> tuple[list[str], Any]:
        rows = await self._fetch(PAGE, cursor or prefix, after(prefix), limit)
        for row in rows:
            self.decode(row[1])
        return [row[0] for row in rows], rows[-1][0] if len(rows) == limit else None

    async def update(self, key: str, change: Change) -> None:
        await self._change({key: change})

    async def move(self, source: str, target: str) -> None:
        await self._change({source: added(-1), target: added(1)})

    async def _change(self, changes: dict[str, Change]) -> None:
        async with self._connection() as connection, connection.raw.transaction():
            lock = connection.prepared.get(LOCK) or await connection.prepare(LOCK)
            put = connection.prepared.get(PUT) or await connection.prepare(PUT)
            for key, text in await lock.fetch(list(changes)):
                await put.fetch(key, self.encode(changes[key](self.decode(text))).decode(), None)

    async def find(self, prefix: str, status: str) -> list[Value]:
        return [self.decode(row[0]) for row in await self._fetch(FIND, status)]
