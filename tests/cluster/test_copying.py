"""Copies into a cluster and out of it: there is no index, and each slot is written by itself."""

from __future__ import annotations

import pytest

from ad_seller.storage.memory_backend import MemoryBackend
from ad_seller.storage.operations import copy_entries, verify
from ad_seller.storage.redis import transfer
from ad_seller.storage.redis_backend import RedisBackend
from ad_seller.storage.testing.redis_groups import RedisCluster
from tests.operations.jobs import filled

pytestmark = pytest.mark.xdist_group("cluster-failures")


async def test_there_and_back(cluster: RedisCluster, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(transfer, "_WALKED", 2_500)  # more than one walk over the names
    async with RedisBackend(cluster.url) as store, MemoryBackend() as source, MemoryBackend() as back:
        await filled(source, 4_500)
        await source.set("quote:1", 1, ttl=300)
        done = await copy_entries(source, store)
        assert (done.stored, done.verified.faults) == (4_501, 0)
        assert await store.count() == 4_501
        await source.set("deal:000007", "changed")
        await source.delete("deal:000008")
        again = await copy_entries(source, store, again=True)
        assert (again.stored, again.deleted, again.verified.faults) == (1, 1, 0)
        assert (await copy_entries(store, back)).stored == 4_500
        assert (await verify(source, back)).faults == 0
