"""What may be lost on any master of a cluster is told of, with the name of the server."""

from __future__ import annotations

import pytest

from ad_seller.storage.redis_backend import RedisBackend
from ad_seller.storage.testing.redis_groups import RedisCluster
from ad_seller.storage.testing.redis_nodes import ask


async def test_each_master_is_asked(cluster: RedisCluster, caplog: pytest.LogCaptureFixture) -> None:
    masters = cluster.masters()
    names = [f"127.0.0.1:{server.port}" for server in masters]
    room = ask(masters[2], "CONFIG", "GET", "maxmemory")[1]
    ask(masters[2], "CONFIG", "SET", "maxmemory-policy", "allkeys-lru")
    ask(masters[2], "CONFIG", "SET", "maxmemory", "64mb")
    ask(masters[0], "CONFIG", "SET", "appendonly", "yes")
    try:
        async with RedisBackend(cluster.url) as store:
            doubts = (await store.health()).doubts
            assert [doubt.split(" (")[0] for doubt in doubts] == [
                f"{names[1]}, {names[2]}: Redis keeps nothing on disk",
                f"{names[2]}: Redis evicts entries when its memory is full",
            ]
            assert [record.getMessage() for record in caplog.records] == [f"{store!r}: {doubt}" for doubt in doubts]
    finally:
        ask(masters[2], "CONFIG", "SET", "maxmemory-policy", "noeviction")
        ask(masters[2], "CONFIG", "SET", "maxmemory", room)
        ask(masters[0], "CONFIG", "SET", "appendonly", "no")
    async with RedisBackend(cluster.url) as store:
        [doubt] = (await store.health()).doubts
        assert doubt.startswith("All 3 masters: Redis keeps nothing on disk")
