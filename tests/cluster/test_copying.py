"""Copies into a cluster and out of it: there is no index, and each slot is written by itself."""

from __future__ import annotations

import pytest

from ad_seller.storage.driver.transfer import StoredEntry
from ad_seller.storage.memory_backend import MemoryBackend
from ad_seller.storage.operations import copy_entries, verify
from ad_seller.storage.redis import transfer
from ad_seller.storage.redis_backend import RedisBackend
from ad_seller.storage.testing.redis_groups import RedisCluster
from tests.operations.jobs import filled


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


async def test_out_of_a_slot_on_its_way(cluster: RedisCluster) -> None:
    """The keys of one call lie on two servers, so they are asked for one by one."""
    async with RedisBackend(cluster.url, "{tenant}:") as store, MemoryBackend() as back:
        await filled(store, 50)
        await store.set("quote:1", 1, ttl=300)
        with cluster.moving("{tenant}:") as move:
            move.move_keys(25)
            done = await copy_entries(store, back)
            assert (done.stored, done.verified.faults) == (51, 0)
            again = await store._store_entries([StoredEntry("deal:000007", b'"changed"', None)], None)
            assert again == [True]
            assert await store.get("deal:000007") == "changed"
            entries = [StoredEntry(key, b"2", None) for key in ("deal:000008", "deal:000009", "new:1", "quote:1")]
            held = [entry.text for entry in await store._entries_at(["deal:000008", "quote:1"])]
            expected = [held[0], b'"another"', None, held[1]]
            assert await store._store_entries(entries, expected) == [True, False, True, True]
            assert await store._store_entries(entries, [None] * 4) == [False] * 4
            assert await store.ttl("quote:1") is None
            await store.set("quote:1", 2, ttl=300)
            assert (await copy_entries(store, back, existing="replace")).stored == 4
        assert await back.get("deal:000007") == "changed"
        assert await back.ttl("quote:1") is not None
