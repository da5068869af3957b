"""Masters of a cluster die and freeze under load: calls fail clearly or wait, and nothing acknowledged is lost."""

from __future__ import annotations

import asyncio

import pytest

from ad_seller.storage import StorageError, StorageTimeoutError
from ad_seller.storage.redis.slots import lane_of
from ad_seller.storage.redis_backend import RedisBackend
from ad_seller.storage.testing.redis_groups import RedisCluster
from tests.failover import TOLERANCE, Load
from tests.groups import FAILOVERS, check_a_listing_waits, check_too_few_confirm, set_at_last
from tests.redis.support import timed

pytestmark = pytest.mark.usefixtures("mended")

many_times = pytest.mark.parametrize("time", range(FAILOVERS))


@many_times
@pytest.mark.parametrize("prefix", ["ad_seller:", "{tenant}:"])
async def test_a_master_dies_under_load_and_comes_back(cluster: RedisCluster, prefix: str, time: int) -> None:
    async with (
        RedisBackend(cluster.url, prefix) as quick,
        RedisBackend(cluster.url, prefix, wait_replicas=1) as safe,
        Load(quick, prefix="quick", callers=6) as any_load,
        Load(safe) as safe_load,
    ):
        await asyncio.sleep(0.3)
        killed = await asyncio.to_thread(cluster.kill_master, f"{prefix}load:0:same")
        assert await any_load.all_succeed(15) > 1, "no failover was needed"
        assert await safe_load.missing(quick) == []
        await asyncio.to_thread(killed.start)  # with nothing in its memory; without it nobody can confirm
        await safe_load.all_succeed(15)
        await asyncio.to_thread(cluster.heal)
        await safe_load.all_succeed(15)
    for load in (any_load, safe_load):
        load.assert_clear()
    assert safe_load.stale == []
    async with RedisBackend(cluster.url, prefix) as other:
        assert await safe_load.missing(other) == []
        assert set(safe_load.written) <= set(await other.keys("load:*"))


@many_times
async def test_a_master_freezes_under_load_and_thaws(cluster: RedisCluster, time: int) -> None:
    async with (
        RedisBackend(cluster.url) as quick,
        RedisBackend(cluster.url, wait_replicas=1) as safe,
        Load(quick, prefix="quick", callers=6) as any_load,
        Load(safe) as safe_load,
    ):
        frozen = cluster.master_of("ad_seller:load:0:same")
        frozen.freeze()
        await any_load.all_succeed(15)
        frozen.thaw()
        await safe_load.all_succeed(15)
        await asyncio.to_thread(cluster.heal)
        await safe_load.all_succeed(15)
        assert await safe_load.missing(safe) == []
    for load in (any_load, safe_load):
        load.assert_clear()
    assert safe_load.stale == []


@pytest.mark.usefixtures("patient")
async def test_a_dead_master_holds_up_only_its_own_keys(cluster: RedisCluster) -> None:
    async with RedisBackend(cluster.url, timeout=50) as store:
        keys = [f"item:{n}" for n in range(300)]
        await store.set_many(dict.fromkeys(keys, 0))
        frozen = cluster.master_of("ad_seller:item:0")
        dead = [key for key in keys if cluster.master_of(f"ad_seller:{key}") is frozen]
        # Lanes are fixed groups of slots: some lie on both sides of where the slots of two masters meet.
        lanes = {lane_of(f"ad_seller:{key}") for key in dead}
        others = [key for key in keys if lane_of(f"ad_seller:{key}") not in lanes]
        assert len(others) > 100
        frozen.freeze()
        stuck = [asyncio.create_task(call) for key in dead[:9] for call in (store.set(key, 1), store.get(key))]
        for number in range(5):
            await asyncio.gather(*(store.set(key, number) for key in others))
            assert await asyncio.gather(*map(store.get, others)) == [number] * len(others)
            assert all(await asyncio.gather(*map(store.exists, others)))
        assert not any(task.done() for task in stuck)
        frozen.thaw()
        await asyncio.gather(*stuck)


@pytest.mark.usefixtures("patient")
async def test_a_listing_from_the_index_waits_for_a_frozen_master_once(cluster: RedisCluster) -> None:
    """Not for the index, for its keys and for all masters, one after the other."""
    async with RedisBackend(cluster.url, "{tenant}:", timeout=5) as store:
        assert await store.keys() == []
        frozen = cluster.masters()[-1]
        frozen.freeze()
        try:
            waits = await asyncio.gather(timed(store.keys()), timed(store.count()), timed(store.scan()))
        finally:
            frozen.thaw()
        for told, seconds in waits:
            assert isinstance(told, StorageTimeoutError)
            assert seconds < store.timeout + TOLERANCE


@pytest.mark.usefixtures("patient")
async def test_who_waits_for_a_walk_waits_for_a_frozen_master_once(cluster: RedisCluster) -> None:
    """Two walk at a time; the time for which others wait for a place is not given to them again."""
    async with RedisBackend(cluster.url, timeout=5) as store:
        assert await store.keys() == []
        frozen = cluster.masters()[-1]
        frozen.freeze()
        try:
            first = [asyncio.create_task(timed(store.keys())) for _ in range(2)]
            await asyncio.sleep(1)
            waits = [
                *await asyncio.gather(*(timed(store.count()) for _ in range(3))),
                *await asyncio.gather(*first),
            ]
        finally:
            frozen.thaw()
        for told, seconds in waits:
            assert isinstance(told, StorageTimeoutError)
            assert seconds < store.timeout + 0.5 * store.timeout
        assert await store.keys() == []


async def test_who_was_idle_finds_the_new_master(cluster: RedisCluster) -> None:
    async with RedisBackend(cluster.url) as idle, RedisBackend(cluster.url) as busy:
        await busy.set("a", "old")
        assert await idle.get("a") == "old"
        frozen = cluster.master_of("ad_seller:a")
        frozen.freeze()
        await set_at_last(busy, "a", "new")
        frozen.thaw()
        assert await idle.get("a") == "new"
        assert await idle.keys("a") == ["a"]


async def test_a_listing_waits_for_the_new_master(cluster: RedisCluster) -> None:
    await check_a_listing_waits(cluster.url, cluster.kill_master)


async def test_no_replica_confirms(cluster: RedisCluster) -> None:
    await check_too_few_confirm(cluster.url, "{t}:", replicas=1)


async def test_slots_that_nobody_serves(cluster: RedisCluster) -> None:
    loop = asyncio.get_running_loop()
    async with RedisBackend(cluster.url, timeout=1) as store:
        await store.set("a", 1)
        master = cluster.master_of("ad_seller:a")
        replica = next(node for node in cluster.nodes if cluster.follows(node, master))
        replica.kill()
        master.kill()
        await asyncio.sleep(3)
        for call in (store.get("a"), store.set("a", 2), store.keys("a*"), store.increment("n")):
            began = loop.time()
            with pytest.raises(StorageError, match=r"redis-cli --cluster check|cannot be reached"):
                await call
            assert loop.time() - began < 1 + TOLERANCE
        with pytest.raises(StorageError, match=r"redis-cli --cluster check|cannot be reached"):
            await RedisBackend(cluster.url, timeout=1).connect()
        await asyncio.to_thread(cluster.heal)
        await store.set("a", 3)
        assert await store.get("a") == 3
