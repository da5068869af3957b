"""A backend on the shared server, and one on a server that the test may break."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator

import pytest

from ad_seller.storage.redis_backend import RedisBackend
from ad_seller.storage.testing.servers import RedisServer
from tests.proxy import Proxy


@pytest.fixture
async def store(redis_url: str, redis_prefix: str) -> AsyncIterator[RedisBackend]:
    """A connected backend with a prefix of the test's own."""
    async with RedisBackend(redis_url, redis_prefix) as backend:
        yield backend


@pytest.fixture
def proxy(own_redis: RedisServer) -> Iterator[Proxy]:
    """What stands before the test's own server, for clients that connect to it."""
    with Proxy(own_redis.port) as proxy:
        yield proxy


@pytest.fixture
async def own_store(own_redis: RedisServer) -> AsyncIterator[RedisBackend]:
    """A connected backend on the test's own server."""
    backend = RedisBackend(own_redis.url)
    await backend.connect()
    yield backend
    if own_redis.running:
        own_redis.thaw()
    await backend.disconnect()
