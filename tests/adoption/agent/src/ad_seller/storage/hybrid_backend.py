"""What is short-lived in Redis, everything else in PostgreSQL."""

from typing import Any

from .base import StorageBackend

_SHORT_LIVED = ("session:", "session_index:", "cache:", "lock:", "pubsub:", "rate_limit:")


class HybridBackend(StorageBackend):
    """Two stores as one."""

    def __init__(self, postgres: StorageBackend, redis: StorageBackend):
        self._stores = {True: redis, False: postgres}

    def _of(self, key: str) -> StorageBackend:
        return self._stores[key.startswith(_SHORT_LIVED)]

    async def connect(self) -> None:
        for store in self._stores.values():
            await store.connect()

    async def disconnect(self) -> None:
        for store in self._stores.values():
            await store.disconnect()

    async def get(self, key: str) -> Any | None:
        return await self._of(key).get(key)

    async def set(self, key: str, value: Any, ttl: int | None = None) -> None:
        await self._of(key).set(key, value, ttl)

    async def delete(self, key: str) -> bool:
        return await self._of(key).delete(key)

    async def exists(self, key: str) -> bool:
        return await self._of(key).exists(key)

    async def keys(self, pattern: str = "*") -> list[str]:
        return [key for store in self._stores.values() for key in await store.keys(pattern)]
