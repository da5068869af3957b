"""What ends the trust in the index, and what does not: restarts, cut connections, refusals, cancelled listings."""

from __future__ import annotations

import asyncio
import logging
from pathlib import Path
from typing import Any, cast

import pytest

from ad_seller.storage.redis import listener, news
from ad_seller.storage.redis.engine import RedisEngine
from ad_seller.storage.redis.index import index_name
from ad_seller.storage.redis_backend import RedisBackend
from ad_seller.storage.testing.servers import RedisBinary, RedisServer

from .support import plain

INDEX = index_name("ad_seller:")


@pytest.mark.parametrize("how", ["restart", "kill"])
async def test_a_server_that_restarts_with_its_data(how: str, listed: RedisBackend, own_redis: RedisServer) -> None:
    if how == "kill":
        own_redis.kill()
    own_redis.restart()
    with plain(own_redis.url) as client:
        client.set("ad_seller:deal:after the restart", "1")
        assert await listed.keys() == [*(f"deal:{n}" for n in range(5)), "deal:after the restart"]
        client.delete("ad_seller:deal:0")
        assert await listed.count() == 5


async def test_a_server_that_comes_back_with_an_older_snapshot(tmp_path: Path, redis_binary: RedisBinary) -> None:
    with RedisServer(tmp_path, binary=redis_binary) as server:
        async with RedisBackend(server.url) as store:
            await store.set_many({"a": 1, "b": 2})
            assert await store.keys() == ["a", "b"]
            with plain(server.url) as client:
                client.save()
                client.delete("ad_seller:a")
                client.set("ad_seller:c", "1")
            assert await store.keys() == ["b", "c"]
            server.kill()
            server.start()
            assert await store.keys() == ["a", "b"]


async def test_a_connection_that_is_cut_misses_nothing(listed: RedisBackend, client: Any) -> None:
    for n in range(5):
        client.client_kill_filter(_type="normal", skipme=True)
        client.set(f"ad_seller:deal:cut:{n}", "1")
        assert await listed.count("deal:cut:*") == n + 1
        assert await listed.count() == 5 + n + 1


async def test_more_changes_than_are_remembered(
    listed: RedisBackend, client: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(news, "_MOST", 200)
    client.mset({f"ad_seller:many:{n}": "1" for n in range(1000)})
    client.set("ad_seller:deal:9", "1")
    assert await listed.count() == 1006
    client.mset({f"ad_seller:more:{n}": "1" for n in range(1000)})
    assert await listed.count() == 2006


async def test_a_lost_connection_fails_nobody(own_redis: RedisServer) -> None:
    """Who tries again shares what others wait for, who came before the connection was lost."""
    async with RedisBackend(own_redis.url) as store:
        kinds = [f"kind{number}" for number in range(8)]
        await store.set_many({f"{kind}:1": 1 for kind in kinds})
        assert [len((await store.scan(f"{kind}:*")).items) for kind in kinds] == [1] * 8
        [session] = store._sessions._by_loop.all()
        tracker = cast(RedisEngine, session.engine)._listings._tracker
        assert tracker is not None
        connection = tracker._listener._connection
        assert connection is not None
        own_redis.freeze()
        pages = []
        for kind in [*kinds, kinds[0]]:
            pages.append(asyncio.create_task(store.scan(f"{kind}:*")))
            await asyncio.sleep(0.05)
        connection._transport.abort()
        own_redis.thaw()
        assert [len((await page).items) for page in pages] == [1] * 9


async def test_a_user_who_may_not_watch_lists_by_walking(
    own_redis: RedisServer, client: Any, caplog: pytest.LogCaptureFixture
) -> None:
    client.acl_setuser(
        "agent", enabled=True, passwords=["+word"], keys=["*"], categories=["+@all"], commands=["-client"]
    )
    url = own_redis.url.replace("redis://", "redis://agent:word@")
    with caplog.at_level(logging.WARNING, "ad_seller.storage"):
        async with RedisBackend(url) as store:
            await store.set_many({"a": 1, "b": 2})
            for n in range(3):
                client.set(f"ad_seller:c{n}", "1")
                assert await store.keys() == ["a", "b", *(f"c{m}" for m in range(n + 1))]
                assert len((await store.scan(limit=10)).items) == n + 3
    assert [record.message for record in caplog.records if "walk" in record.message] == [caplog.records[0].message]
    assert "client" in caplog.text


async def test_a_server_without_room_for_the_index_is_listed_by_walking(
    listed: RedisBackend, client: Any, caplog: pytest.LogCaptureFixture
) -> None:
    client.delete(INDEX)
    client.config_set("maxmemory-policy", "noeviction")
    client.config_set("maxmemory", 1)
    assert await listed.keys() == [f"deal:{n}" for n in range(5)]
    assert "walk" in caplog.text
    client.config_set("maxmemory", 0)
    assert await listed.keys() == [f"deal:{n}" for n in range(5)]


async def test_the_time_for_a_listing_does_not_begin_anew_with_its_survey(
    own_redis: RedisServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A server that freezes when it has been listened to is waited for no longer than the listing may take."""
    connect, run = listener.Listener.connect, listener.Listener.run
    until: list[float] = []

    async def connect_late(self: listener.Listener, scope: str, deadline: float) -> None:
        await connect(self, scope, deadline)
        await asyncio.sleep(0.1)
        until.append(deadline)

    def note(self: listener.Listener, calls: Any, deadline: float) -> Any:
        until.append(deadline)
        return run(self, calls, deadline)

    monkeypatch.setattr(listener.Listener, "connect", connect_late)
    monkeypatch.setattr(listener.Listener, "run", note)
    async with RedisBackend(own_redis.url) as store:
        assert await store.keys() == []
    assert until[0] == until[1]


async def test_who_disconnects_after_a_cancelled_listing_leaves_no_task(own_redis: RedisServer) -> None:
    async with RedisBackend(own_redis.url) as store:
        before = asyncio.all_tasks()
        own_redis.freeze()
        listing = asyncio.create_task(store.scan("a*"))
        while not any("_trusted" in str(task.get_coro()) for task in asyncio.all_tasks()):  # noqa: ASYNC110 - nothing tells
            await asyncio.sleep(0)
        listing.cancel()
        await asyncio.gather(listing, return_exceptions=True)
    assert asyncio.all_tasks() <= before
    own_redis.thaw()


async def test_cancelled_listings_leave_the_index_trustworthy(listed: RedisBackend, client: Any) -> None:
    for n in range(100):
        client.set(f"ad_seller:deal:{n:03}", "1")
        if n % 10 == 0:
            client.delete(INDEX)
        listing = asyncio.create_task(listed.keys())
        await asyncio.sleep(n % 7 * 0.0003)
        listing.cancel()
        await asyncio.gather(listing, return_exceptions=True)
        assert len([key for key in await listed.keys() if len(key) == 8]) == n + 1


async def test_who_lists_after_a_cancelled_listing_looks_at_nothing_anew(listed: RedisBackend, client: Any) -> None:
    before = client.info("commandstats")["cmdstat_scan"]["calls"]
    for turns in range(10):
        if turns % 2:
            client.set(f"ad_seller:deal:{turns}:new", "1")
        listing = asyncio.create_task(listed.keys())
        for _ in range(turns):
            await asyncio.sleep(0)
        listing.cancel()
        await asyncio.gather(listing, return_exceptions=True)
        assert len(await listed.keys("deal:*:new")) == (turns + 1) // 2
    assert client.info("commandstats")["cmdstat_scan"]["calls"] == before


@pytest.mark.parametrize("how", ["FLUSHALL", "FLUSHDB", "SWAPDB 0 1"])
async def test_a_store_that_is_emptied(how: str, each_listed: RedisBackend, client: Any) -> None:
    for n in range(3):
        client.execute_command(*how.split())
        client.set(f"ad_seller:deal:after:{n}", "1")
        assert await each_listed.keys("deal:after:*") == sorted(key.decode()[10:] for key in client.keys("*after*"))
        assert await each_listed.count() == len(await each_listed.keys()) == len(client.keys("*deal*"))


async def test_a_server_that_loads_what_another_one_holds(
    own_redis: RedisServer, client: Any, tmp_path: Path, redis_binary: RedisBinary, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As a replica does that was a master: connections stay, the index came along, and no news of any key comes."""
    monkeypatch.setattr(news, "MOST_KEYS", 0)
    async with RedisBackend(own_redis.url) as store:
        await store.set("deal:1", 1)
        assert await store.keys() == ["deal:1"]
        with RedisServer(tmp_path, binary=redis_binary) as other, plain(other.url) as elsewhere:
            await _copy(elsewhere, own_redis)
            elsewhere.set("ad_seller:deal:2", "2")
            client.set("away", "1")  # so that it has to load all
            await _copy(client, other)
            assert client.zscore(INDEX, "ad_seller:deal:2") is None
            assert await store.keys() == ["deal:1", "deal:2"]
            assert [key for key, _ in (await store.scan("deal:*")).items] == ["deal:1", "deal:2"]


async def _copy(client: Any, source: RedisServer) -> None:
    """Have a server hold what another one does."""
    client.config_set("repl-diskless-sync-delay", 0)
    client.execute_command("REPLICAOF", "127.0.0.1", source.port)
    while client.info("replication")["master_link_status"] != "up":  # noqa: ASYNC110 - nothing tells
        await asyncio.sleep(0.05)
    client.execute_command("REPLICAOF", "NO", "ONE")
