"""A table of keys and JSONB values in PostgreSQL."""

import json
import time
from contextlib import suppress
from typing import Any

import asyncpg

from .base import StorageBackend

_TABLE = (
    "CREATE TABLE IF NOT EXISTS kv_store (key TEXT PRIMARY KEY, value JSONB NOT NULL, expires_at DOUBLE PRECISION)"
)
_ALIVE = "(expires_at IS NULL OR expires_at > $2)"


class PostgresBackend(StorageBackend):
    """A pool of connections."""

    def __init__(self, database_url: str, pool_min: int = 2, pool_max: int = 10):
        self.database_url = database_url.replace("+asyncpg", "")
        self._sizes = {"min_size": pool_min, "max_size": pool_max}
        self._pool = None

    async def connect(self) -> None:
        self._pool = await asyncpg.create_pool(self.database_url, **self._sizes)
        # The other worker makes it now: IF NOT EXISTS misses that, and which error it is depends on the moment.
        with suppress(asyncpg.UniqueViolationError, asyncpg.DuplicateTableError, asyncpg.DuplicateObjectError):
            await self._pool.execute(_TABLE)

    async def disconnect(self) -> None:
        pool, self._pool = self._pool, None
        if pool is not None:
            await pool.close()

    async def get(self, key: str) -> Any | None:
        text = await self._pool.fetchval(
            f"SELECT value FROM kv_store WHERE key = $1 AND {_ALIVE}", key, time.time()
        )
        return None if text is None else json.loads(text)

    async def set(self, key: str, value: Any, ttl: int | None = None) -> None:
        deadline = time.time() + ttl if ttl else None
        await self._pool.execute(
            "INSERT INTO kv_store (key, value, expires_at) VALUES ($1, $2, $3) "
            "ON CONFLICT (key) DO UPDATE SET value = $2, expires_at = $3",
            key,
            json.dumps(value),
            deadline,
        )

    async def delete(self, key: str) -> bool:
        return await self._pool.execute("DELETE FROM kv_store WHERE key = $1", key) == "DELETE 1"

    async def exists(self, key: str) -> bool:
        return await self.get(key) is not None

    async def keys(self, pattern: str = "*") -> list[str]:
        like = pattern.replace("*", "%").replace("?", "_")
        rows = await self._pool.fetch(f"SELECT key FROM kv_store WHERE key LIKE $1 AND {_ALIVE}", like, time.time())
        return [row["key"] for row in rows]
