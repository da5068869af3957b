"""JSON texts in Redis, under a prefix."""

import json
from typing import Any

from redis import asyncio as aioredis

from .base import StorageBackend


class RedisBackend(StorageBackend):
    """One server."""

    def __init__(self, redis_url: str, key_prefix: str = "ad_seller:"):
        self.redis_url = redis_url
        self.key_prefix = key_prefix
        self._client = None

    async def connect(self) -> None:
        self._client = aioredis.Redis.from_url(self.redis_url, decode_responses=True)
        await self._client.ping()

    async def disconnect(self) -> None:
        client, self._client = self._client, None
        if client is not None:
            await client.aclose()

    async def get(self, key: str) -> Any | None:
        text = await self._client.get(self.key_prefix + key)
        return None if text is None else json.loads(text)

    async def set(self, key: str, value: Any, ttl: int | None = None) -> None:
        await self._client.set(self.key_prefix + key, json.dumps(value), ex=ttl or None)

    async def delete(self, key: str) -> bool:
        return bool(await self._client.delete(self.key_prefix + key))

    async def exists(self, key: str) -> bool:
        return bool(await self._client.exists(self.key_prefix + key))

    async def keys(self, pattern: str = "*") -> list[str]:
        return [name.removeprefix(self.key_prefix) for name in await self._client.keys(self.key_prefix + pattern)]
