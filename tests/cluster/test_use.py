"""Ordinary use of a cluster, and what it refuses."""

from __future__ import annotations

import asyncio
import itertools
from functools import partial
from pathlib import Path

import pytest
import redis

from ad_seller.storage import CrossStoreError, StorageConnectionError, StorageError, open_url
from ad_seller.storage.redis_backend import RedisBackend
from ad_seller.storage.testing.redis_groups import RedisCluster
from ad_seller.storage.testing.redis_nodes import ask
from ad_seller.storage.testing.servers import RedisServer
from tests.groups import (
    check_cancelled_connects,
    check_many_callers,
    check_nobody_answers,
    check_recorded_day,
    none_left,
)
from tests.redis.repairs import wrong_listings

SECRET = "s3cret/ü@:,?"
SPREAD = [f"deal:{n}" for n in range(30)]


async def test_batches_are_split_by_slot(cluster: RedisCluster) -> None:
    async with RedisBackend(cluster.url) as store:
        assert store.capabilities.atomic == "store"
        assert not store.capabilities.atomic_batches
        await store.set_many({key: {"key": key} for key in SPREAD}, ttl=60)
        assert all(len(ask(master, "KEYS", "*")) >= 3 for master in cluster.masters())
        assert await store.get_many([*SPREAD, "missing"]) == {key: {"key": key} for key in SPREAD}
        page = await store.scan("deal:*", limit=20)
        rest = await store.scan("deal:*", cursor=page.cursor)
        assert [key for key, _ in (*page.items, *rest.items)] == sorted(SPREAD)
        assert await store.count() == await store.delete_many(SPREAD) == 30


async def book(store: RedisBackend) -> None:
    async with store.transaction() as tx:
        await tx.set("deal:1", "new")
        await tx.set("quote:1", "new")


async def test_an_outbox_over_slots_delivers_nothing_that_it_could_not_acknowledge(cluster: RedisCluster) -> None:
    async with RedisBackend(cluster.url) as store:
        await store.outbox("hooks").put(1)
        messages = store.outbox("hooks").work()
        with pytest.raises(CrossStoreError, match=r"key_prefix='\{tenant\}:'"):
            await anext(messages)
        assert await store.outbox("hooks").waiting() == 1


async def test_a_log_over_slots_is_read_by_its_fields(cluster: RedisCluster) -> None:
    async with RedisBackend(cluster.url) as store:
        log = store.log("event", by=["kind"])
        ids = [await log.append({"kind": n % 2, "n": n}) for n in range(20)]
        page = await log.read(kind=1, newest=True, limit=3)
        assert [value["n"] for _, value in page.items] == [19, 17, 15]
        assert [entry_id for entry_id, _ in (await log.read()).items] == ids


async def test_a_commit_over_slots_is_refused_and_says_what_to_do(cluster: RedisCluster) -> None:
    async with RedisBackend(cluster.url) as store:
        await store.set("deal:1", "old")
        with pytest.raises(CrossStoreError, match=r"key_prefix='\{tenant\}:'"):
            await book(store)
        assert await store.get("deal:1") == "old"
        assert not await store.exists("quote:1")
        async with store.transaction() as tx:
            await tx.set("deal:1", "newer")
        assert await store.get("deal:1") == "newer"


async def test_a_tenant_is_in_one_slot(cluster: RedisCluster) -> None:
    async with RedisBackend(cluster.url, "{tenant-7}:") as store:
        await store.set_many(dict.fromkeys(SPREAD, 1))
        names = [sorted(ask(master, "KEYS", "*")) for master in cluster.masters()]
        [held] = [found for found in names if found]
        assert held == sorted(["{tenant-7}:\0index", *(f"{{tenant-7}}:{key}" for key in SPREAD)])
        await book(store)
        assert await store.get_many(["deal:1", "quote:1"]) == {"deal:1": "new", "quote:1": "new"}


async def test_tenants_do_not_see_each_other(cluster: RedisCluster) -> None:
    async with RedisBackend(cluster.url, "{one}:") as one, RedisBackend(cluster.url, "{two}:") as two:
        await one.set("deal:1", 1)
        await two.set("deal:2", 2)
        assert await one.keys() == ["deal:1"]
        assert await two.keys() == ["deal:2"]


async def test_a_counter_and_a_channel_as_existing_agents_use_them(cluster: RedisCluster) -> None:
    async with RedisBackend(cluster.url) as store:
        assert [await store.incr(key) for key in ("n", "n", "m")] == [1, 2, 1]
        assert await store.publish("news", {"deal": 1}) == 0
        assert "connected_clients" in await store.get_stats()


async def test_2000_callers(cluster: RedisCluster) -> None:
    async with RedisBackend(cluster.url, timeout=30) as store:
        await check_many_callers(store, cluster.nodes)
    for node in cluster.nodes:
        await none_left(node)


async def test_cancelled_connect_leaves_nothing(cluster: RedisCluster) -> None:
    await check_cancelled_connects(partial(RedisBackend, cluster.url), cluster.nodes)


def test_a_recorded_day(cluster: RedisCluster) -> None:
    check_recorded_day(cluster.url)


async def test_one_living_node_in_the_url_is_enough(cluster: RedisCluster) -> None:
    async with open_url(f"redis+cluster://127.0.0.1:1,127.0.0.1:{cluster.nodes[3].port}") as store:
        await store.set("a", 1)
        assert await store.get("a") == 1


async def test_nobody_answers() -> None:
    await check_nobody_answers("redis+cluster://127.0.0.1:1,127.0.0.1:2")


async def test_connections_that_the_servers_close_fail_no_call(cluster: RedisCluster) -> None:
    async with RedisBackend(cluster.url) as store:
        await store.set_many(dict.fromkeys(SPREAD, 1))
        for round_ in range(5):
            await asyncio.gather(*(store.get(key) for key in SPREAD))
            for node in cluster.nodes:
                ask(node, "CLIENT", "KILL", "TYPE", "normal")
            await store.set_many(dict.fromkeys(SPREAD, round_))
            assert set((await store.get_many(SPREAD)).values()) == {round_}


async def test_a_server_that_is_no_cluster(own_redis: RedisServer) -> None:
    with pytest.raises(StorageError, match="cluster support disabled"):
        await RedisBackend(f"redis+cluster://127.0.0.1:{own_redis.port}").connect()


async def test_right_and_wrong_password(tmp_path: Path) -> None:
    with RedisCluster(tmp_path, password=SECRET) as locked:
        async with RedisBackend(locked.url, wait_replicas=1) as store:
            await store.set_many(dict.fromkeys(SPREAD, 1))
            assert await store.count() == 30
        assert "s3cret" not in repr(store)
        hosts = locked.url.rpartition("@")[2]
        async with RedisBackend(f"redis+cluster://{hosts}", password=lambda: SECRET) as store:
            assert await store.count() == 30
        for login in (":other-word@", "", "nobody:other-word@"):
            with pytest.raises(StorageConnectionError, match="refused the login") as caught:
                await RedisBackend(f"redis+cluster://{login}{hosts}").connect()
            for word in ("s3cret", "other-word"):
                assert word not in str(caught.value)


@pytest.mark.parametrize("spread", [True, False])
async def test_order_of_writes(cluster: RedisCluster, spread: bool) -> None:
    async with RedisBackend(cluster.url, "ad_seller:" if spread else "{t}:") as store:
        numbers = itertools.count()
        calls = [store.set(key, next(numbers)) for _ in range(20) for key in SPREAD]
        await asyncio.gather(*calls)
        assert list((await store.get_many(SPREAD)).values()) == list(range(19 * 30, 20 * 30))


def test_other_programs_write_while_another_instance_repairs(cluster: RedisCluster) -> None:
    with redis.RedisCluster(host="127.0.0.1", port=cluster.nodes[0].port) as client:
        assert wrong_listings(cluster.url, client, "ad_seller:", 4) == []
