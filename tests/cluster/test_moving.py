"""Slots move from master to master under load: no call fails, no listing misses anything."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from ad_seller.storage import StoreUnavailableError
from ad_seller.storage.redis import news
from ad_seller.storage.redis_backend import RedisBackend
from ad_seller.storage.testing.redis_groups import RedisCluster
from tests.failover import Load

pytestmark = pytest.mark.usefixtures("mended")


@pytest.mark.parametrize("prefix", ["ad_seller:", "{tenant}:"])
async def test_no_call_fails(cluster: RedisCluster, prefix: str) -> None:
    async with RedisBackend(cluster.url, prefix, wait_replicas=1) as store, Load(store) as load:
        for key in (f"load:{n}:same" for n in range(4)):
            with cluster.moving(f"{prefix}{key}") as move:
                await load.all_succeed(5)  # some entries here, new ones there: ASK
                for _ in range(20):
                    await asyncio.to_thread(move.move_keys, 3)
                    assert (await store.get_many([key, "missing"]))[key]["n"] > 0
                    assert await store.ttl(key) is None
            await load.all_succeed(5)  # MOVED
        assert await load.missing(store) == []
    assert load.failures == []
    assert load.stale == []


async def test_batches_while_a_tenant_moves(cluster: RedisCluster) -> None:
    async with RedisBackend(cluster.url, "{tenant}:") as store:
        await store.set_many({f"old:{n}": n for n in range(50)})
        with cluster.moving("{tenant}:") as move:
            move.move_keys(25)
            everything = [f"old:{n}" for n in range(50)]
            assert len(await store.get_many([*everything, "missing"])) == 50
            assert all(await asyncio.gather(*(store.exists(key) for key in everything)))
            await asyncio.gather(*(store.set(f"new:{n}", n) for n in range(50)))
            assert sorted(await asyncio.gather(*(store.increment("n") for _ in range(20)))) == list(range(1, 21))
            assert await asyncio.gather(*(store.delete(key) for key in everything)) == [True] * 50
        assert await store.count("new:*") == 50
        assert await store.count("old:*") == 0


@pytest.mark.parametrize("prefix", ["ad_seller:", "{tenant}:"])
async def test_a_key_that_is_deleted_and_written_in_one_turn(cluster: RedisCluster, prefix: str) -> None:
    """It lacks in a slot on its way, so the server asks for it elsewhere, within a script, too."""
    async with RedisBackend(cluster.url, prefix) as store:
        await store.set_many({"{p}:a": 1, "{p}:b": 1})
        with cluster.moving(f"{prefix}{{p}}:a"):
            first = await asyncio.gather(store.delete("{p}:a"), store.create("{p}:a", 2))
            assert all(first)
            second = await asyncio.gather(store.delete("{p}:a"), store.create("{p}:a", 3), store.delete("{p}:a"))
            assert all(second)
            await asyncio.gather(store.delete("{p}:b"), store.set("{p}:b", 5))
        assert await store.get_many(["{p}:a", "{p}:b"]) == {"{p}:b": 5}


async def test_a_commit_over_keys_on_both_sides_waits_for_the_end_of_the_move(cluster: RedisCluster) -> None:
    async with RedisBackend(cluster.url, "{tenant}:") as store:
        await store.set("old", 1)
        with cluster.moving("{tenant}:"):
            booking = asyncio.create_task(_book(store))
            await asyncio.sleep(0.3)
            assert not booking.done()
        await booking
        assert await store.get_many(["old", "new"]) == {"old": 2, "new": 2}


@pytest.mark.parametrize("prefix", ["ad_seller:", "{tenant}:"])
async def test_what_only_stores_is_one_commit_also_on_its_way(prefix: str, cluster: RedisCluster) -> None:
    """Parts of a commit are not stored alone, and its neighbours in the batch do not fail with it."""
    names = ["{p}:old", "{p}:new 0", "{p}:new 1", "{p}:other"]
    async with RedisBackend(cluster.url, prefix) as store:
        await store.set("{p}:old", 1)
        with cluster.moving(f"{prefix}{{p}}:old"):
            writes = [asyncio.create_task(_store(store, "{p}:old", name)) for name in names[1:3]]
            writes.append(asyncio.create_task(store.set("{p}:other", 3)))
            await asyncio.sleep(0.3)
            assert await store.get_many(names) == {"{p}:old": 1, "{p}:other": 3}
            assert not any(write.done() for write in writes)
        await asyncio.gather(*writes)
        assert await store.get_many(names) == dict(zip(names, (2, 2, 2, 3), strict=True))


async def test_a_commit_on_its_way_that_does_not_arrive_in_time(cluster: RedisCluster) -> None:
    async with RedisBackend(cluster.url, "{tenant}:", timeout=1) as store:
        await store.set("old", 1)
        with cluster.moving("{tenant}:"):
            with pytest.raises(StoreUnavailableError, match=r"on its way.*Nothing was written"):
                await store.set_many({"old": 2, "new": 2})
            assert await store.get_many(["old", "new"]) == {"old": 1}


@pytest.mark.parametrize("alone", [False, True])
async def test_no_listing_misses_an_entry_on_its_way(
    alone: bool, cluster: RedisCluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also where each looks at all keys itself, because to be told has cost more."""
    if alone:
        monkeypatch.setattr(news.News, "do_without", lambda self: True)
    async with RedisBackend(cluster.url, "{tenant}:") as store:
        keys = {f"item:{n}" for n in range(300)}
        await store.set_many(dict.fromkeys(keys, 1))
        for _ in range(4):
            with cluster.moving("{tenant}:") as move:
                moving = asyncio.create_task(asyncio.to_thread(_move_slowly, move.move_keys))
                while not moving.done():
                    assert set(await store.keys("item:*")) == keys
                    assert len((await store.scan("item:*")).items) == len(keys)
                await moving
        assert await store.count() == len(keys)
        assert store.stats().index_trusted is not alone


async def _book(store: RedisBackend) -> None:
    async with store.transaction() as tx:
        old: Any = await tx.get("old")
        await tx.set("old", old + 1)
        await tx.set("new", 2)


async def _store(store: RedisBackend, *keys: str) -> None:
    async with store.transaction() as tx:
        for key in keys:
            await tx.set(key, 2)


def _move_slowly(move_keys: object) -> None:
    assert callable(move_keys)
    while move_keys(3):
        pass
