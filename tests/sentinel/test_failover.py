"""The master of a Sentinel group dies and freezes under load; whoever comes back late is never believed."""

from __future__ import annotations

import asyncio
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress

import pytest

from ad_seller.storage import StorageConnectionError, StorageError, UnknownOutcomeError
from ad_seller.storage.redis_backend import RedisBackend
from ad_seller.storage.testing.redis_groups import SentinelGroup
from ad_seller.storage.testing.redis_nodes import ask
from ad_seller.storage.testing.servers import RedisServer
from tests.failover import TOLERANCE, Load
from tests.groups import FAILOVERS, check_a_listing_waits, check_too_few_confirm, set_at_last

pytestmark = pytest.mark.usefixtures("mended")


many_times = pytest.mark.parametrize("time", range(FAILOVERS))


async def replaced(group: SentinelGroup, old: RedisServer) -> None:
    """Wait for another master; sentinels that stood still, as with the whole machine, only watch."""
    await asyncio.to_thread(group.wait_for, lambda: group.master() is not old, "there is a new master", 20)


@many_times
async def test_the_master_dies_under_load_and_comes_back(group: SentinelGroup, time: int) -> None:
    async with RedisBackend(group.url, wait_replicas=1) as store, Load(store) as load:
        await asyncio.sleep(0.3)
        killed = await asyncio.to_thread(group.kill_master)
        waited, _ = await asyncio.gather(load.all_succeed(15), replaced(group, killed))
        assert waited > 1, "no failover was needed"
        assert await load.missing(store) == []
        await asyncio.to_thread(killed.start)  # empty, and sure that it is the master
        await load.all_succeed(15)
        await asyncio.to_thread(group.heal)
        await load.all_succeed(15)
    load.assert_clear()
    assert load.stale == []
    async with RedisBackend(group.url) as other:
        assert await load.missing(other) == []
        assert set(load.written) <= set(await other.keys("load:*"))


@many_times
async def test_the_master_freezes_under_load_and_thaws(group: SentinelGroup, time: int) -> None:
    async with RedisBackend(group.url, wait_replicas=1) as store, Load(store) as load:
        frozen = group.master()
        frozen.freeze()
        await asyncio.gather(load.all_succeed(15), replaced(group, frozen))
        frozen.thaw()
        await load.all_succeed(15)
        await asyncio.to_thread(group.heal)
        await load.all_succeed(15)
        assert await load.missing(store) == []
    load.assert_clear()
    assert load.stale == []


async def test_who_lists_at_the_old_master_is_answered_by_the_new_one(group: SentinelGroup) -> None:
    """Another listing is the first to go there, and ends what goes on at the old one."""
    async with RedisBackend(group.url, timeout=30) as store:
        await store.set_many({f"deal:{n}": {"status": "open"} for n in range(3)})
        deals = (await store.scan("deal:*")).items
        old = group.master()
        old.freeze()
        hanging = [asyncio.create_task(call) for call in (store.scan("deal:*"), store.scan("deal:*"))]
        counts = asyncio.create_task(store.count("deal:*"))
        await replaced(group, old)
        assert await store.keys("deal:*") == [key for key, _ in deals]
        assert [(await page).items for page in hanging] == [deals, deals]
        assert await counts == len(deals)
        old.thaw()


@many_times
@pytest.mark.parametrize("frozen", [True, False], ids=["frozen", "killed"])
async def test_who_was_idle_does_not_believe_the_old_master(group: SentinelGroup, frozen: bool, time: int) -> None:
    async with RedisBackend(group.url) as idle, RedisBackend(group.url) as busy:
        await busy.set("a", "old")
        assert await idle.get("a") == "old"
        old = group.master()
        if frozen:
            old.freeze()
        else:
            old.kill()
        await replaced(group, old)
        await set_at_last(busy, "a", "new")
        if frozen:
            old.thaw()
        else:
            await asyncio.to_thread(old.start)
        for _ in range(20):
            assert await idle.get("a") == "new"
            assert await idle.keys("a") == ["a"]
            await asyncio.sleep(0.01)
        await idle.set("a", "newer")
        assert await busy.get("a") == "newer"


async def switched_in_good_order(group: SentinelGroup) -> tuple[RedisServer, RedisServer]:
    """Have another server take over while the master lives; return both. The old one learns it seconds later."""
    old = group.master()
    ask(group.sentinels[0], "SENTINEL", "FAILOVER", "mymaster")
    while (new := group.master()) is old or ask(new, "ROLE")[0] != "master":  # noqa: ASYNC110
        await asyncio.sleep(0.01)
    return old, new


async def test_a_replica_that_was_the_master_is_not_read(group: SentinelGroup) -> None:
    """An orderly switch: the old master lives and answers, also those who connect to it anew."""
    async with RedisBackend(group.url, trust_master=60) as idle:  # the question to the sentinels does not help
        await idle.set("a", "old")
        old, new = await switched_in_good_order(group)
        ask(old, "REPLICAOF", "127.0.0.1", new.port)  # as the sentinels do, but they wait first
        ask(old, "CLIENT", "KILL", "TYPE", "normal")
        ask(new, "SET", "ad_seller:a", '"new"')
        assert await idle.get("a") == "new"
        ask(old, "REPLICAOF", "127.0.0.1", new.port)
        assert await idle.keys() == ["a"]


@many_times
async def test_with_each_answer_confirmed_nobody_is_believed_who_was_replaced(
    group: SentinelGroup, time: int
) -> None:
    async with RedisBackend(group.url, trust_master=0, timeout=20) as store:
        await store.set("a", "old")
        loop = asyncio.get_running_loop()
        seen: list[tuple[float, object]] = []

        async def read() -> None:
            while True:
                seen.append((loop.time(), await store.get("a")))

        async with asyncio.TaskGroup() as tasks:
            reading = tasks.create_task(read())
            old = group.master()
            ask(group.sentinels[0], "SENTINEL", "FAILOVER", "mymaster")
            while {group._named_by(one) for one in group.sentinels} == {old.port}:  # noqa: ASYNC110
                await asyncio.sleep(0.01)
            async with RedisBackend(group.url) as other:
                await set_at_last(other, "a", "new")
            acknowledged = loop.time()
            await asyncio.sleep(1)
            reading.cancel()
        later = [value for began, value in seen if began > acknowledged]
        assert later
        assert set(later) == {"new"}
        assert await store.count() == 1


async def test_more_than_half_of_the_sentinels_confirm(group: SentinelGroup) -> None:
    async with RedisBackend(group.url, trust_master=0, timeout=3) as store:
        await store.set("a", 1)
        group.sentinels[0].freeze()
        assert await store.get("a") == 1  # waits for it
        began = asyncio.get_running_loop().time()
        for _ in range(10):
            assert await store.get("a") == 1
        assert asyncio.get_running_loop().time() - began < 1 + TOLERANCE
        group.sentinels[1].freeze()
        with pytest.raises(StorageConnectionError, match="only 1 of 3 sentinels confirm the master"):
            await store.get("a")
        with pytest.raises(UnknownOutcomeError, match="only 1 of 3 sentinels confirm the master"):
            await store.set("a", 2)
        with pytest.raises(StorageConnectionError, match="only 1 of 3 sentinels confirm the master"):
            await store.keys()
        group.sentinels[0].thaw()
        assert await store.get("a") == 2


async def test_a_listing_waits_for_the_new_master(group: SentinelGroup) -> None:
    await check_a_listing_waits(group.url, group.kill_master)


async def test_too_few_replicas_confirm(group: SentinelGroup) -> None:
    await check_too_few_confirm(group.url, "ad_seller:", replicas=2)


async def test_without_sentinels_the_master_serves_on(
    group: SentinelGroup, caplog: pytest.LogCaptureFixture
) -> None:
    async with RedisBackend(group.url, timeout=2, trust_master=0.1) as store:
        await store.set("a", 1)
        for sentinel in group.sentinels:
            sentinel.kill()
        await asyncio.sleep(0.2)  # what is known of the master is older than it may be
        assert await store.get("a") == 1
        await store.set("a", 2)
        assert "No sentinel answers" in caplog.text
        with pytest.raises(StorageConnectionError, match="cannot be reached"):
            await RedisBackend(group.url).connect()
        master = next(node for node in group.nodes if ask(node, "ROLE")[0] == "master")
        master.kill()
        for call in (store.get("a"), store.set("a", 3), store.keys()):
            began = asyncio.get_running_loop().time()
            with pytest.raises(StorageError, match=r"cannot be reached|sent but not confirmed|lost after"):
                await call
            assert asyncio.get_running_loop().time() - began < 2 + TOLERANCE
        await asyncio.to_thread(master.start)  # before the sentinels look for another one
        await asyncio.to_thread(group.heal)
        await store.set("a", 4)
        assert await store.get("a") == 4


async def test_frozen_sentinels_hold_nobody_up(group: SentinelGroup) -> None:
    async with RedisBackend(group.url) as store:
        await store.set("a", 1)
        for sentinel in group.sentinels[:2]:
            sentinel.freeze()
        loop = asyncio.get_running_loop()
        began = loop.time()
        while loop.time() < began + 2.5:
            call = loop.time()
            assert await store.get("a") == 1
            assert loop.time() - call < 1 + TOLERANCE
        async with RedisBackend(group.url) as other:
            assert await other.get("a") == 1
        assert loop.time() - began < 2.5 + 5 + TOLERANCE


async def test_who_was_suspended_does_not_believe_a_thawed_master(
    group: SentinelGroup, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The machine of the caller sleeps meanwhile: the clock of its event loop has stood still."""
    async with RedisBackend(group.url) as idle:
        await idle.set("k", "old")
        old = group.master()
        began = time.monotonic()
        old.freeze()
        group.wait_for(lambda: group.master() is not old, "there is a new master", 20)  # nothing else runs here
        ThreadPoolExecutor(1).submit(asyncio.run, set_new(group.url)).result()
        loop, asleep = asyncio.get_running_loop(), time.monotonic() - began
        awake = loop.time
        monkeypatch.setattr(loop, "time", lambda: awake() - asleep)
        call = asyncio.create_task(idle.get("k"))
        await asyncio.sleep(0.05)
        old.thaw()
        assert await call == "new"


async def set_new(url: str) -> None:
    async with RedisBackend(url) as quicker:
        await set_at_last(quicker, "k", "new")


@pytest.mark.parametrize("writes", [False, True], ids=["read", "write"])
async def test_a_thawed_master_is_not_believed(group: SentinelGroup, writes: bool) -> None:
    """It was replaced while it was frozen; it answers what waited for it before it learns that."""
    async with RedisBackend(group.url, timeout=9) as waiting:
        await waiting.set("k", "old")
        old = group.master()
        old.freeze()
        began = asyncio.get_running_loop().time()
        hanging: list[asyncio.Task[object]] = []
        async with asyncio.timeout(60):
            while all(group._named_by(one) == old.port for one in group.sentinels):
                await asyncio.sleep(0.05)
                if len(hanging) < 3 and asyncio.get_running_loop().time() - began > 1.1 * (1 + len(hanging)):
                    # It asks the sentinels, so they were asked within the last second; one reader stays free.
                    hanging.append(asyncio.create_task(waiting.get("other")))
            async with RedisBackend(group.url) as quicker:
                await set_at_last(quicker, "k", "new")
        call = asyncio.create_task(waiting.set("mine", 1) if writes else waiting.get("k"))
        await asyncio.sleep(0.05)
        old.thaw()
        if writes:
            with suppress(UnknownOutcomeError):
                await call
                async with RedisBackend(group.url) as other:
                    assert await other.get("mine") == 1, "acknowledged, and lost"
        else:
            assert await call == "new"
        await asyncio.gather(*hanging, return_exceptions=True)
