"""SQLite without a store in between."""

from __future__ import annotations

import asyncio
import json
import sqlite3
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from ..contender import Arguments, Change, Contender, Row, added, chunks
from ..data import Value

TABLE = "CREATE TABLE IF NOT EXISTS kv (key TEXT PRIMARY KEY, value TEXT NOT NULL, expires_at REAL)"
INDEX = "CREATE INDEX IF NOT EXISTS kv_status ON kv (json_extract(value, '$.status'), key) WHERE key GLOB 'order:*'"
LIVE = "(expires_at IS NULL OR expires_at > ?)"
GET = f"SELECT value FROM kv WHERE key = ? AND {LIVE}"
PUT = (
    "INSERT INTO kv VALUES (?, ?, ?) ON CONFLICT (key) DO UPDATE SET value = excluded.value, "
    "expires_at = excluded.expires_at"
)
DELETE = "DELETE FROM kv WHERE key = ?"
KEYS = f"SELECT key FROM kv WHERE key GLOB ? AND {LIVE} ORDER BY key"
ENTRIES = f"SELECT value FROM kv WHERE key GLOB ? AND {LIVE} ORDER BY key"
PAGE = f"SELECT key, value FROM kv WHERE key > ? AND key GLOB ? AND {LIVE} ORDER BY key LIMIT ?"
FIND = (
    f"SELECT value FROM kv WHERE json_extract(value, '$.status') = ? AND key GLOB 'order:*' AND {LIVE} ORDER BY key"
)


def expiry(ttl: int | None) -> float | None:
    return None if ttl is None else time.time() + ttl


def page_of(rows: list[Any], limit: int, decode: Callable[[Any], Any]) -> tuple[list[str], Any]:
    for _, text in rows:
        decode(text)
    keys = [key for key, _ in rows]
    return keys, keys[-1] if len(keys) == limit else None


class Naive(Contender):
    """aiosqlite as tutorials show it: one connection, one statement per call, then a commit. WAL and FULL."""

    async def open(self) -> None:
        import aiosqlite

        self.db = await aiosqlite.connect(Path(self.place) / "store.db", timeout=10)
        await self.db.execute("PRAGMA journal_mode = WAL")
        await self.db.execute("PRAGMA synchronous = FULL")
        await self.db.execute(TABLE)
        await self.db.commit()
        self.lock = asyncio.Lock()

    async def close(self) -> None:
        await self.db.close()

    async def fill(self, rows: Iterator[Row]) -> None:
        for chunk in chunks(rows, 5_000):
            await self.db.executemany(PUT, [(key, _dump(value), None) for key, value in chunk])
            await self.db.commit()

    async def get(self, key: str) -> Value | None:
        async with self.db.execute(GET, (key, time.time())) as cursor:
            row = await cursor.fetchone()
        return None if row is None else json.loads(row[0])

    async def set(self, key: str, value: Value, ttl: int | None = None) -> None:
        await self.db.execute(PUT, (key, _dump(value), expiry(ttl)))
        await self.db.commit()

    async def delete(self, key: str) -> bool:
        cursor = await self.db.execute(DELETE, (key,))
        await self.db.commit()
        return cursor.rowcount > 0

    async def keys(self, prefix: str) -> list[str]:
        async with self.db.execute(KEYS, (prefix + "*", time.time())) as cursor:
            return [row[0] for row in await cursor.fetchall()]

    async def entries(self, prefix: str) -> list[Value]:
        async with self.db.execute(ENTRIES, (prefix + "*", time.time())) as cursor:
            return [json.loads(row[0]) for row in await cursor.fetchall()]

    async def page(self, prefix: str, cursor: Any, limit: int) -> tuple[list[str], Any]:
        async with self.db.execute(PAGE, (cursor or prefix, prefix + "*", time.time(), limit)) as found:
            return page_of(list(await found.fetchall()), limit, json.loads)

    async def update(self, key: str, change: Change) -> None:
        async with self.lock:
            await self.db.execute("BEGIN IMMEDIATE")
            value = await self.get(key)
            assert value is not None
            await self.db.execute(PUT, (key, _dump(change(value)), None))
            await self.db.commit()

    async def move(self, source: str, target: str) -> None:
        async with self.lock:
            await self.db.execute("BEGIN IMMEDIATE")
            before, after = await self.get(source), await self.get(target)
            assert before is not None
            assert after is not None
            await self.db.execute(PUT, (source, _dump(added(-1)(before)), None))
            await self.db.execute(PUT, (target, _dump(added(1)(after)), None))
            await self.db.commit()

    async def find(self, prefix: str, status: str) -> list[Value]:
        return [value for value in await self.entries(prefix) if value["status"] == status]


class Raw(Contender):
    """The limit: Python's sqlite3 on the only thread, no event loop, all writes of a batch in one transaction."""

    batched = True

    async def open(self) -> None:
        import msgspec

        self.db = sqlite3.connect(Path(self.place) / "store.db", timeout=10, isolation_level=None)
        self.db.execute("PRAGMA journal_mode = WAL")
        self.db.execute("PRAGMA synchronous = FULL")
        self.db.execute(TABLE)
        self.encode = msgspec.json.Encoder().encode
        self.decode = msgspec.json.Decoder().decode

    async def close(self) -> None:
        self.db.close()

    async def fill(self, rows: Iterator[Row]) -> None:
        for chunk in chunks(rows, 5_000):
            self.set_batch(chunk)

    async def index(self) -> None:
        self.db.execute(INDEX)
        self.db.execute("ANALYZE")

    def get_batch(self, batch: list[Arguments]) -> list[Any]:
        now, execute = time.time(), self.db.execute
        rows = [execute(GET, (key, now)).fetchone() for (key,) in batch]
        return [None if row is None else self.decode(row[0]) for row in rows]

    def set_batch(self, batch: list[Arguments] | list[Row]) -> list[Any]:
        rows = [(key, self.encode(value).decode(), expiry(*ttl)) for key, value, *ttl in _with_ttl(batch)]
        self.db.execute("BEGIN IMMEDIATE")
        self.db.executemany(PUT, rows)
        self.db.execute("COMMIT")
        return [None] * len(batch)

    def delete_batch(self, batch: list[Arguments]) -> list[bool]:
        self.db.execute("BEGIN IMMEDIATE")
        answers = [self.db.execute(DELETE, arguments).rowcount > 0 for arguments in batch]
        self.db.execute("COMMIT")
        return answers

    def update_batch(self, batch: list[Arguments]) -> list[None]:
        self.db.execute("BEGIN IMMEDIATE")
        for key, change in batch:
            self._change(key, change)
        self.db.execute("COMMIT")
        return [None] * len(batch)

    def move_batch(self, batch: list[Arguments]) -> list[None]:
        self.db.execute("BEGIN IMMEDIATE")
        for source, target in batch:
            self._change(source, added(-1))
            self._change(target, added(1))
        self.db.execute("COMMIT")
        return [None] * len(batch)

    def _change(self, key: str, change: Change) -> None:
        [value] = self.get_batch([(key,)])
        self.db.execute(PUT, (key, self.encode(change(value)).decode(), None))

    async def get(self, key: str) -> Value | None:
        value: Value | None = self.get_batch([(key,)])[0]
        return value

    async def set(self, key: str, value: Value, ttl: int | None = None) -> None:
        self.set_batch([(key, value, ttl)])

    async def delete(self, key: str) -> bool:
        return self.delete_batch([(key,)])[0]

    async def update(self, key: str, change: Change) -> None:
        self.update_batch([(key, change)])

    async def move(self, source: str, target: str) -> None:
        self.move_batch([(source, target)])

    async def keys(self, prefix: str) -> list[str]:
        return [row[0] for row in self.db.execute(KEYS, (prefix + "*", time.time()))]

    async def entries(self, prefix: str) -> list[Value]:
        decode = self.decode
        return [decode(row[0]) for row in self.db.execute(ENTRIES, (prefix + "*", time.time()))]

    async def page(self, prefix: str, cursor: Any, limit: int) -> tuple[list[str], Any]:
        rows = self.db.execute(PAGE, (cursor or prefix, prefix + "*", time.time(), limit)).fetchall()
        return page_of(rows, limit, self.decode)

    async def find(self, prefix: str, status: str) -> list[Value]:
        return [self.decode(row[0]) for row in self.db.execute(FIND, (status, time.time()))]


def _dump(value: Value) -> str:
    return json.dumps(value, separators=(",", ":"))


def _with_ttl(batch: list[Arguments] | list[Row]) -> Iterator[tuple[Any, Any, Any]]:
    for key, value, *ttl in batch:
        yield key, value, ttl[0] if ttl else None
