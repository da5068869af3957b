"""A table of keys and JSON texts in a SQLite file."""

import json
import time
from pathlib import Path
from typing import Any

import aiosqlite

from .base import StorageBackend

_ALIVE = "(expires_at IS NULL OR expires_at > ?)"


class SQLiteBackend(StorageBackend):
    """One file, one connection."""

    def __init__(self, database_url: str):
        self.db_path = database_url.removeprefix("sqlite:///")
        self._connection = None

    async def connect(self) -> None:
        Path(self.db_path).parent.mkdir(parents=True, exist_ok=True)
        self._connection = await aiosqlite.connect(self.db_path)
        await self._write(
            "CREATE TABLE IF NOT EXISTS kv_store (key TEXT PRIMARY KEY, value TEXT NOT NULL, expires_at REAL)"
        )

    async def disconnect(self) -> None:
        if self._connection is not None:
            await self._connection.close()
        self._connection = None

    async def _write(self, sql: str, *values: Any) -> int:
        cursor = await self._connection.execute(sql, values)
        await self._connection.commit()
        return cursor.rowcount

    async def _rows(self, sql: str, *values: Any) -> list:
        if self._connection is None:
            raise RuntimeError("Storage not connected. Call connect() first.")
        await self._write("DELETE FROM kv_store WHERE expires_at <= ?", time.time())
        return list(await self._connection.execute_fetchall(sql, values))

    async def get(self, key: str) -> Any | None:
        rows = await self._rows(f"SELECT value FROM kv_store WHERE key = ? AND {_ALIVE}", key, time.time())
        return json.loads(rows[0][0]) if rows else None

    async def set(self, key: str, value: Any, ttl: int | None = None) -> None:
        deadline = time.time() + ttl if ttl else None
        await self._write(
            "REPLACE INTO kv_store (key, value, expires_at) VALUES (?, ?, ?)", key, json.dumps(value), deadline
        )

    async def delete(self, key: str) -> bool:
        return await self._write("DELETE FROM kv_store WHERE key = ?", key) > 0

    async def exists(self, key: str) -> bool:
        return bool(await self._rows(f"SELECT 1 FROM kv_store WHERE key = ? AND {_ALIVE}", key, time.time()))

    async def keys(self, pattern: str = "*") -> list[str]:
        like = pattern.replace("*", "%").replace("?", "_")
        rows = await self._rows(
            f"SELECT key FROM kv_store WHERE key LIKE ? AND {_ALIVE} ORDER BY rowid", like, time.time()
        )
        return [row[0] for row in rows]
