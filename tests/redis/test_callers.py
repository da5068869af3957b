"""Many callers on one server, and what their calls cost it."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from ad_seller.storage.redis_backend import RedisBackend
from ad_seller.storage.testing.servers import RedisServer

from .support import calls, plain


async def test_two_thousand_callers_at_once(own_redis: RedisServer) -> None:
    """No error, and at most 20 connections were ever opened."""

    async def call(store: RedisBackend, number: int) -> None:
        key = f"session:{number}"
        await store.set(key, {"n": number}, ttl=60)
        assert await store.get(key) == {"n": number}
        assert await store.exists(key)
        if number % 4 == 0:
            assert await store.update(key, lambda current: {"n": current["n"] + 1}) == {"n": number + 1}
        if number % 10 == 0:
            await store.incr("counter")
            await store.publish("news", number)
            await store.add_session_to_buyer_index(str(number), f"buyer-{number % 3}")
        if number % 50 == 0:
            assert key in await store.keys("session:*")

    with plain(own_redis.url) as client:
        before = client.info("stats")["total_connections_received"]
        async with RedisBackend(own_redis.url) as store:
            await asyncio.gather(*(call(store, number) for number in range(2000)))
            connected = len(client.client_list())
            assert await store.count("session:*") == 2000
            assert await store.incr("counter") == 201
            assert sum([len(await store.get_buyer_session_ids(f"buyer-{n}")) for n in range(3)]) == 200
        opened = client.info("stats")["total_connections_received"] - before
    assert connected <= 20
    assert opened <= 20


@pytest.mark.parametrize("listing", ["list", "keys", "scan", "count", "get_many"])
async def test_a_listing_of_a_thousand_takes_at_most_three_round_trips(
    listing: str, own_redis: RedisServer, own_store: RedisBackend
) -> None:
    names = [f"deal:{number}" for number in range(1000)]
    await own_store.set_many({name: {"name": name} for name in names})
    await own_store.set_many({f"order:{number}": number for number in range(2000)})
    how: dict[str, Any] = {
        "list": own_store.list_deals,
        "keys": lambda: own_store.keys("deal:*"),
        "scan": lambda: own_store.scan("deal:*"),
        "count": lambda: own_store.count("deal:*"),
        "get_many": lambda: own_store.get_many(names),
    }
    await how[listing]()  # the first one surveys what there is
    with plain(own_redis.url) as client:
        client.config_resetstat()
    found = await how[listing]()
    inside = {"zscore", "zrangebylex", "exists"}  # what the script for listings calls
    assert sum(times for name, times in calls(own_redis.url).items() if name not in inside) <= 3
    assert (found if listing == "count" else len(found.items if listing == "scan" else found)) == 1000


async def test_reads_and_writes_of_one_tick_are_one_command_each(
    own_redis: RedisServer, own_store: RedisBackend
) -> None:
    await own_store.set_many({f"key:{number}": number for number in range(100)})
    assert await own_store.exists("key:0")
    with plain(own_redis.url) as client:
        client.config_resetstat()
    await asyncio.gather(*(own_store.get(f"key:{number}") for number in range(100)))
    assert calls(own_redis.url) == {"mget": 1}
    with plain(own_redis.url) as client:
        client.config_resetstat()
    await asyncio.gather(*(own_store.set(f"key:{number}", 1) for number in range(100)))
    assert calls(own_redis.url)["evalsha"] == 1


async def test_a_commit_of_many_writes_is_atomic(own_redis: RedisServer, own_store: RedisBackend) -> None:
    """More than one script carries otherwise: others see all of it or nothing."""
    names = [f"key:{number}" for number in range(5000)]
    seen: set[bytes] = set()

    def watch() -> None:
        with plain(own_redis.url) as client:
            while b"9" not in seen:
                values = set(client.mget([f"ad_seller:{name}" for name in names]))
                assert len(values) == 1, f"{len(values)} states at once"
                seen.update(values)

    await own_store.set_many(dict.fromkeys(names, 0))
    watching = asyncio.create_task(asyncio.to_thread(watch))
    for number in range(1, 10):
        await own_store.set_many(dict.fromkeys(names, number))
    await watching
    assert len(seen) > 1


async def test_many_large_writes_at_once(store: RedisBackend) -> None:
    """30 MB in one tick: more than one script carries, all of it in order."""
    await asyncio.gather(*(store.set(f"key:{number % 20}", f"{number}:" + "x" * 500_000) for number in range(60)))
    for number in range(20):
        value = await store.get(f"key:{number}")
        assert str(value).startswith(f"{number + 40}:")


async def test_thousands_of_writes_in_one_call(own_redis: RedisServer) -> None:
    async with RedisBackend(own_redis.url, timeout=30) as store:
        await store.set_many({f"key:{number:06}": number for number in range(40_000)})
        assert await store.count() == 40_000
        page = await store.scan(limit=3)
        assert page.items == [("key:000000", 0), ("key:000001", 1), ("key:000002", 2)]
        assert await store.delete_many([f"key:{number:06}" for number in range(0, 40_000, 2)]) == 20_000
        assert await store.count() == 20_000
