"""A backend on the shared server, and one on a server that the test may break."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from ad_seller.storage.redis_backend import RedisBackend
from ad_seller.storage.testing.servers import RedisServer


@pytest.fixture
async def store(redis_url: str, redis_prefix: str) -> AsyncIterator[RedisBackend]:
    """A connected backend with a prefix of the test's own."""
    async with RedisBackend(redis_url, redis_prefix) as backend:
        yield backend


@pytest.fixture
async def own_store(own_redis: RedisServer) -> AsyncIterator[RedisBackend]:
    """A connected backend on the test's own server, with a short time-out."""
    backend = RedisBackend(own_redis.url, timeout=1.0)
    await backend.connect()
    yield backend
    if own_redis.running:
        own_redis.thaw()
    await backend.disconnect()
