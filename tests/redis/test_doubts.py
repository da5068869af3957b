"""A server that may evict what was acknowledged is told of: in the log at connect, and by `health`."""

from __future__ import annotations

from pathlib import Path

import pytest

from ad_seller.storage.redis_backend import RedisBackend
from ad_seller.storage.testing.servers import RedisBinary, RedisServer


@pytest.mark.parametrize("policy", ["allkeys-lru", "volatile-ttl"])
async def test_eviction(
    policy: str, redis_binary: RedisBinary, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    config = {"maxmemory-policy": policy}
    with RedisServer(tmp_path / "redis", binary=redis_binary, maxmemory="8mb", config=config) as server:
        async with RedisBackend(server.url) as store:
            [warning] = [record.getMessage() for record in caplog.records if policy in record.getMessage()]
            assert "noeviction" in warning
            health = await store.health()
            assert health.is_reachable
            assert policy in health.doubts[0]
            await store.connect()
            assert len([record for record in caplog.records if policy in record.getMessage()]) == 1


async def test_without_eviction_nothing_is_said(
    redis_url: str, redis_prefix: str, caplog: pytest.LogCaptureFixture
) -> None:
    async with RedisBackend(redis_url, key_prefix=redis_prefix) as store:
        assert (await store.health()).doubts == ()
    assert not caplog.records


async def test_health_of_a_server_that_is_gone(own_redis: RedisServer) -> None:
    async with RedisBackend(own_redis.url, timeout=0.5) as store:
        assert (await store.health()).is_reachable
        own_redis.kill()
        health = await store.health()
        assert not health.is_reachable
        assert health.error is not None
