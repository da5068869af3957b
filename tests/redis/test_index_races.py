"""What happens to the listing index just before and while somebody lists, and when its users leave."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any

import pytest

from ad_seller.storage.redis import listener, news
from ad_seller.storage.redis.index import index_name
from ad_seller.storage.redis_backend import RedisBackend
from ad_seller.storage.testing.servers import RedisServer
from tests.proxy import Proxy

from .repairs import wrong_listings
from .support import calls, plain

INDEX = index_name("ad_seller:")


def flush_another_database(client: Any) -> None:
    """Those who watch are told that all is gone, without saying where; the index stays."""
    steps = client.pipeline(transaction=False)
    for command in ("SELECT 5", "SET a 1", "FLUSHDB", "SELECT 0"):
        steps.execute_command(*command.split())
    steps.execute()


def change_more_than_is_remembered(client: Any) -> None:
    client.mset({f"ad_seller:many:{n}": "1" for n in range(1000)})


@pytest.mark.parametrize("lose_trust", [flush_another_database, change_more_than_is_remembered])
async def test_what_was_written_before_a_listing_is_in_it_however_late_the_news_comes(
    lose_trust: Callable[[Any], None], own_redis: RedisServer, proxy: Proxy, monkeypatch: pytest.MonkeyPatch
) -> None:
    """All that the server tells the instance comes with the answer of the listing, and not before it."""
    monkeypatch.setattr(news, "_MOST", 200)
    async with RedisBackend(f"redis://127.0.0.1:{proxy.port}") as store:
        await store.set("old", 1)
        assert await store.keys() == ["old"]
        proxy.hold = True
        with plain(own_redis.url) as client:
            lose_trust(client)
            client.set("ad_seller:new", "1")
            client.config_resetstat()
        listing = asyncio.create_task(store.keys("[no]*"))
        async with asyncio.timeout(20):
            while not calls(own_redis.url).get("evalsha"):  # noqa: ASYNC110 - it is the server that is asked
                await asyncio.sleep(0.01)
        proxy.hold = False
        assert await listing == ["new", "old"]


async def test_an_empty_store_leaves_no_key(own_redis: RedisServer) -> None:
    """Whoever leaves takes along what marked the index as trustworthy; also after a lost connection."""
    async with RedisBackend(own_redis.url) as store, RedisBackend(own_redis.url) as other:
        with plain(own_redis.url) as client:
            for _ in range(3):
                await store.set("key", 1)
                assert await store.keys() == await other.keys() == ["key"]
                client.client_kill_filter(_type="normal", skipme=True)
            assert client.zcard(INDEX) == 3, "a name, and a token of each instance"
            await store.delete("key")
            assert await other.keys() == []
    with plain(own_redis.url) as client:
        assert client.keys() == []


async def test_an_index_that_goes_with_one_instance_misses_nothing_in_another(own_redis: RedisServer) -> None:
    async with RedisBackend(own_redis.url) as other:
        async with RedisBackend(own_redis.url) as store:
            await store.set("key", 1)
            assert await store.keys() == await other.keys() == ["key"]
        with plain(own_redis.url) as client:
            assert client.zcard(INDEX) == 2
            client.delete(INDEX)
        await other.set("more", 1)
        assert await other.keys() == ["key", "more"]


async def test_leaving_a_server_that_hangs_takes_no_longer_than_a_moment(own_redis: RedisServer) -> None:
    store = RedisBackend(own_redis.url)
    await store.connect()
    assert await store.keys() == []
    own_redis.freeze()
    try:
        began = time.monotonic()
        await store.disconnect()
        assert time.monotonic() - began < store.timeout
    finally:
        own_redis.thaw()


def size_of(answer: Any) -> int:
    return answer if isinstance(answer, int) else len(getattr(answer, "items", answer))


async def test_a_listing_is_not_older_than_a_repair_by_another_instance(
    own_redis: RedisServer, proxy: Proxy
) -> None:
    """The index was wrong when it was asked and right when it was looked at: another instance had mended it."""
    async with RedisBackend(f"redis://127.0.0.1:{proxy.port}") as slow, RedisBackend(own_redis.url) as other:
        await other.set("old", 1)
        assert await slow.keys() == await other.keys() == ["old"]
        listings: list[Callable[[], Awaitable[Any]]] = [slow.keys, slow.count, slow.scan]
        for number, listing in enumerate(listings):
            proxy.hold = True
            with plain(own_redis.url) as client:
                client.mset({f"ad_seller:foreign:{number}:{n}": "1" for n in range(20)})
                client.config_resetstat()
            asked = asyncio.ensure_future(listing())
            async with asyncio.timeout(20):
                while not calls(own_redis.url):  # noqa: ASYNC110 - it is the server that is asked
                    await asyncio.sleep(0.01)
            assert len(await other.keys()) == 20 * (number + 1) + 1
            proxy.hold = False
            assert size_of(await asked) == 20 * (number + 1) + 1


def test_other_programs_write_while_another_instance_repairs(own_redis: RedisServer) -> None:
    """Three processes; 500 times on each kind of servers by ``python -m tests.redis.repairs``."""
    with plain(own_redis.url) as client:
        assert wrong_listings(own_redis.url, client, "ad_seller:", 5) == []


async def test_beside_other_programs_a_listing_may_miss_what_came_just_before_a_write_of_ours(
    own_redis: RedisServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A known limit (docs/redis.md). What had ended before the listing is in it, and in the next one all is.

    Our writes are in the index at once; what others write comes into it when a listing has been told of it.
    """
    monkeypatch.setattr(news, "MOST_KEYS", 0)
    run, wrote = listener.Listener.run, 0

    async with RedisBackend(own_redis.url) as store, RedisBackend(own_redis.url) as ours:
        with plain(own_redis.url) as other:
            await store.keys("deal:*")  # from now on it is told

            def run_late(self: listener.Listener, asked: Any, deadline: float) -> Coroutine[Any, Any, list[Any]]:
                async def work() -> list[Any]:
                    nonlocal wrote
                    wrote += 1
                    other.set(f"ad_seller:deal:theirs:{wrote}", "1")
                    await ours.set(f"deal:ours:{wrote}", 1)
                    return await run(self, asked, deadline)

                return work()

            other.set("ad_seller:deal:before", "1")
            monkeypatch.setattr(listener.Listener, "run", run_late)
            found = await store.keys("deal:*")
            monkeypatch.setattr(listener.Listener, "run", run)
        written = {"deal:before", *(f"deal:{who}:{n}" for who in ("ours", "theirs") for n in range(1, wrote + 1))}
        assert "deal:before" in found
        assert set(found) <= written
        assert await store.keys("deal:*") == sorted(written)
        limit = f"deal:ours:{wrote}" in found and f"deal:theirs:{wrote}" not in found
        assert limit, "it is of one moment now: take the gap out of docs/redis.md, and this line"
