"""A server that may lose what was acknowledged is told of: in the log at connect, and by `health`."""

from __future__ import annotations

from pathlib import Path

import pytest
import redis

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
            assert [policy in doubt for doubt in health.doubts] == [True, False]
            await store.connect()
            assert len([record for record in caplog.records if policy in record.getMessage()]) == 1


@pytest.mark.parametrize(
    ("config", "said"),
    [
        ({}, "keeps nothing on disk"),
        ({"save": "3600 1"}, "snapshots only (save 3600 1)"),
        ({"appendonly": "yes", "appendfsync": "no"}, "appendfsync no"),
    ],
)
async def test_what_is_not_on_disk(
    config: dict[str, str], said: str, redis_binary: RedisBinary, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with RedisServer(tmp_path / "redis", binary=redis_binary) as server:
        with redis.Redis.from_url(server.url) as client:
            for name, value in config.items():
                client.config_set(name, value)
        async with RedisBackend(server.url) as store:
            [doubt] = (await store.health()).doubts
            assert said in doubt
            assert [doubt in record.getMessage() for record in caplog.records] == [True]
        async with RedisBackend(server.url, wait_replicas=1) as store:  # replicas have it, too
            assert (await store.health()).doubts == ()


async def test_of_a_server_that_keeps_everything_nothing_is_said(
    own_redis: RedisServer, caplog: pytest.LogCaptureFixture
) -> None:
    async with RedisBackend(own_redis.url) as store:
        assert (await store.health()).doubts == ()
    assert not caplog.records


async def test_a_user_who_may_not_ask_is_told_nothing(own_redis: RedisServer, redis_binary: RedisBinary) -> None:
    with redis.Redis.from_url(own_redis.url) as client:
        client.acl_setuser(
            "agent", enabled=True, nopass=True, keys="*", categories=["+@all"], commands=["-config", "-info"]
        )
    async with RedisBackend(own_redis.url.replace("redis://", "redis://agent:none@")) as store:
        assert (await store.health()).doubts == ()


async def test_health_of_a_server_that_is_gone(own_redis: RedisServer) -> None:
    async with RedisBackend(own_redis.url, timeout=0.5) as store:
        assert (await store.health()).is_reachable
        own_redis.kill()
        health = await store.health()
        assert not health.is_reachable
        assert health.error is not None
