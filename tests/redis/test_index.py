"""Listings by the index show what is there, whoever wrote it, and do not walk over the keys of the server."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from ad_seller.storage.redis.index import index_name
from ad_seller.storage.redis_backend import RedisBackend
from ad_seller.storage.testing.servers import RedisServer

from .support import calls, plain

INDEX = index_name("ad_seller:")

#: What others can put behind the prefix, and no key of ours can be.
OF_NOBODY = (b"", b"a\xff", b"a\0b", b"x" * 3000, b"\0index")

Foreign = Callable[[Any], object]


def living(client: Any) -> list[str]:
    """What a listing must show, by a walk of another client."""
    names = [name.removeprefix(b"ad_seller:") for name in client.scan_iter("ad_seller:*", 1000, "string")]
    return sorted(name.decode() for name in names if name not in OF_NOBODY)


def move_in(client: Any) -> None:
    client.set("elsewhere", "1")
    client.rename("elsewhere", "ad_seller:deal:moved in")


def restore(client: Any) -> None:
    client.set("elsewhere", "1")
    client.restore("ad_seller:deal:restored", 0, client.dump("elsewhere"))


def expire_soon(client: Any) -> None:
    client.pexpire("ad_seller:deal:0", 5)
    time.sleep(0.03)


def flush_another_database(client: Any) -> None:
    """That is told, too, without saying which; what is written next must not get lost in it."""
    steps = client.pipeline(transaction=False)
    for command in ("SELECT 5", "SET a 1", "FLUSHDB", "SELECT 0", "SET ad_seller:deal:new 1"):
        steps.execute_command(*command.split())
    steps.execute()


def replace_by_a_list(client: Any) -> None:
    client.delete("ad_seller:deal:1")
    client.lpush("ad_seller:deal:1", "x")


FOREIGN: dict[str, Foreign] = {
    "set": lambda client: client.set("ad_seller:deal:new", "1"),
    "setex": lambda client: client.set("ad_seller:deal:new", "1", ex=60),
    "mset": lambda client: client.mset({f"ad_seller:deal:new:{n}": "1" for n in range(3000)}),
    "incr": lambda client: client.incr("ad_seller:counter"),
    "append": lambda client: client.append("ad_seller:text", "1"),
    "script": lambda client: client.eval("redis.call('SET', KEYS[1], '1')", 1, "ad_seller:deal:new"),
    "transaction": lambda client: client.pipeline().set("ad_seller:a", 1).set("ad_seller:b", 2).execute(),
    "delete": lambda client: client.delete("ad_seller:deal:0", "ad_seller:deal:3"),
    "unlink": lambda client: client.unlink("ad_seller:deal:0"),
    "getdel": lambda client: client.getdel("ad_seller:deal:0"),
    "rename": lambda client: client.rename("ad_seller:deal:0", "ad_seller:deal:renamed"),
    "move in": move_in,
    "move out": lambda client: client.rename("ad_seller:deal:0", "elsewhere"),
    "move to another database": lambda client: client.move("ad_seller:deal:0", 3),
    "copy": lambda client: client.copy("ad_seller:deal:0", "ad_seller:deal:copied"),
    "restore": restore,
    "expire at once": lambda client: client.pexpire("ad_seller:deal:0", 0),
    "expire soon": expire_soon,
    "replace by a list": replace_by_a_list,
    "sort into a list": lambda client: client.sort("ad_seller:none", store="ad_seller:deal:0"),
    "bitop": lambda client: client.bitop("NOT", "ad_seller:bits", "ad_seller:deal:0"),
    "names of nobody": lambda client: [client.set(b"ad_seller:" + name, b"1") for name in OF_NOBODY],
    "flushdb": lambda client: client.flushdb(),
    "flush another database": flush_another_database,
    "flush and set": lambda client: (client.flushall(), client.set("ad_seller:deal:after", "1")),
    "the index is deleted": lambda client: client.delete(INDEX),
    "the index is deleted, then set": lambda client: (client.delete(INDEX), client.set("ad_seller:deal:new", "1")),
    "the index is a string": lambda client: client.set(INDEX, "x"),
    "the index is emptied": lambda client: client.zremrangebyrank(INDEX, 0, -1),
    "swapdb": lambda client: (client.execute_command("SWAPDB", 0, 5), client.set("ad_seller:deal:new", "1")),
}


@pytest.mark.parametrize("name", FOREIGN)
async def test_what_another_program_does_is_seen_at_once(
    name: str, each_listed: RedisBackend, client: Any, caplog: pytest.LogCaptureFixture
) -> None:
    FOREIGN[name](client)
    expected = living(client)
    assert await each_listed.keys() == expected
    assert await each_listed.count("deal:*") == len([key for key in expected if key.startswith("deal:")])
    assert [key for key, _ in (await each_listed.scan("deal:*")).items] == await each_listed.keys("deal:*")
    await each_listed.set("deal:own", 1)
    assert "deal:own" in await each_listed.keys()
    await each_listed.delete("deal:own")
    assert await each_listed.keys() == expected
    assert client.type(INDEX) in (b"zset", b"none")
    assert not caplog.records, "the index was given up"


async def test_no_listing_walks_over_the_keys(listed: RedisBackend, client: Any) -> None:
    client.mset({f"other:{n}": "x" for n in range(20_000)})
    client.set("ad_seller:deal:foreign", "1")
    client.config_resetstat()
    await listed.set("deal:own", 1)
    assert await listed.count("deal:*") == 7
    assert len(await listed.list_deals()) == 7
    assert await listed.keys("*o[wr]*n") == ["deal:foreign", "deal:own"]
    page = await listed.scan("deal:*", limit=3)
    assert [key for key, _ in page.items] == ["deal:0", "deal:1", "deal:2"]
    assert not {"scan", "keys"} & calls_of(client)


def calls_of(client: Any) -> set[str]:
    return {name.removeprefix("cmdstat_") for name in client.info("commandstats")}


async def test_a_foreign_writer_in_a_hurry(own_redis: RedisServer, own_store: RedisBackend) -> None:
    """Whatever was acknowledged to it before a listing began is shown, whatever it deleted before is not."""
    written, deleted, ending = 0, 0, False

    def write() -> None:
        nonlocal written, deleted
        with plain(own_redis.url) as client:
            while not ending:
                client.set(f"ad_seller:item:{written + 1:06}", "1")
                written += 1
                if written % 3 == 0:
                    client.delete(f"ad_seller:item:{deleted + 1:06}")
                    deleted += 1

    writing = asyncio.create_task(asyncio.to_thread(write))
    listings = 0
    until = asyncio.get_running_loop().time() + 3
    try:
        while asyncio.get_running_loop().time() < until or listings < 50:
            await asyncio.sleep(0.001)
            gone, there = deleted, written
            shown = await own_store.keys("item:*") if listings % 2 else await keys_by_pages(own_store)
            assert set(numbered(deleted + 2, there)) <= set(shown)
            assert not set(numbered(1, gone)) & set(shown)
            listings += 1
    finally:
        ending = True
        await writing
    assert written > 50
    assert await own_store.keys("item:*") == list(numbered(deleted + 1, written))
    assert not {"keys"} & set(calls(own_redis.url))


def numbered(first: int, last: int) -> Iterator[str]:
    return (f"item:{n:06}" for n in range(first, last + 1))


async def keys_by_pages(store: RedisBackend) -> list[str]:
    found: list[str] = []
    cursor = None
    while True:
        page = await store.scan("item:*", limit=500, cursor=cursor)
        found += [key for key, _ in page.items]
        if (cursor := page.cursor) is None:
            return found


async def test_an_older_version_without_index_beside_two_of_ours(own_redis: RedisServer, client: Any) -> None:
    async with RedisBackend(own_redis.url) as one, RedisBackend(own_redis.url) as two:
        await asyncio.gather(one.keys(), two.keys())
        for n in range(20):
            await one.set(f"one:{n:02}", 1)
            await two.set(f"two:{n:02}", 1)
            client.set(f"ad_seller:three:{n:02}", "1")
            if n % 4 == 3:  # what one knows to be in the index is taken out by another, and comes back by a third
                await two.delete(f"one:{n:02}")
                client.set(f"ad_seller:one:{n:02}", "1")
            expected = sorted(f"{who}:{m:02}" for who in ("one", "two", "three") for m in range(n + 1))
            assert await one.keys() == await two.keys() == expected


@pytest.mark.parametrize(
    "prefixes", [("ad_seller", "ad_seller:"), ("", "x"), ("a*[b]?:", "a*[b]?:b"), ("ä", "ä\U0010ffff")]
)
async def test_a_prefix_that_begins_with_another(
    prefixes: tuple[str, str], own_redis: RedisServer, client: Any
) -> None:
    short, long = prefixes
    rest = long.removeprefix(short)
    async with RedisBackend(own_redis.url, short) as outer, RedisBackend(own_redis.url, long) as inner:
        for _ in range(2):
            await inner.set_many({"a": 1, "b": 2})
            await outer.set("zz", 3)
            client.set(f"{long}c", "1")
            client.set(f"b{short}", "1")  # of nobody, unless there is no prefix
            assert await inner.keys() == ["a", "b", "c"]
            others = [] if short else ["b"]
            assert await outer.keys() == sorted(["zz", *(rest + key for key in "abc"), *others])
            assert await outer.count(f"{rest}*") == 3 if short else True
            await inner.delete("a")
            assert await outer.get(f"{rest}a") is None
            assert f"{rest}a" not in await outer.keys()


async def test_changes_are_looked_at_before_a_listing_asks(listed: RedisBackend, client: Any) -> None:
    """So that an instance which seldom lists does not collect names without end."""
    for part in range(3):
        client.mset({f"ad_seller:many:{part}:{n}": "1" for n in range(2000)})
        await until(lambda least=2000 * (part + 1): bool(client.zcard(INDEX) >= least))
    client.flushdb()
    assert await listed.keys() == []


async def until(good: Callable[..., bool], seconds: float = 30) -> None:
    async with asyncio.timeout(seconds):
        while not good():  # noqa: ASYNC110 - it is the server that changes
            await asyncio.sleep(0.02)


async def test_the_index_shrinks_without_a_listing(own_redis: RedisServer, client: Any) -> None:
    async with RedisBackend(own_redis.url, sweep_interval=None) as store:
        await store.set_many({f"short:{n}": 1 for n in range(4000)}, ttl=0.05)
        await store.set_many({f"long:{n}": 1 for n in range(100)})
        assert client.zcard(INDEX) > 100
    async with RedisBackend(own_redis.url, sweep_interval=0.05) as store:
        await until(lambda: bool(client.zcard(INDEX) == 100))
        for n in range(50):
            client.delete(f"ad_seller:long:{n}")
        await until(lambda: bool(client.zcard(INDEX) == 50))
        assert await store.count() == 50


async def test_pages_are_full_although_much_has_expired(own_redis: RedisServer, own_store: RedisBackend) -> None:
    await own_store.set_many({f"item:{n:04}": n for n in range(0, 3000, 2)}, ttl=0.05)
    await own_store.set_many({f"item:{n:04}": n for n in range(1, 3000, 2)})
    await asyncio.sleep(0.08)
    shown: list[Any] = []
    cursor = None
    for _ in range(16):
        page = await own_store.scan("item:*", limit=100, cursor=cursor)
        shown += page.items
        if (cursor := page.cursor) is None:
            break
        assert len(page.items) == 100
    assert shown == [(f"item:{n:04}", n) for n in range(1, 3000, 2)]


async def test_the_index_is_nobodys_entry(listed: RedisBackend, client: Any) -> None:
    assert client.type(INDEX) == b"zset"
    assert await listed.keys("*index*") == []
    async with RedisBackend(listed.redis_url, "") as everything:
        assert [key for key in await everything.keys() if "index" in key] == []


async def test_what_an_older_version_sees(own_redis: RedisServer, own_store: RedisBackend, client: Any) -> None:
    """It walks over the keys, and takes strings only: going back needs no care."""
    await own_store.set_many({"a": 1, "b": 2})
    await own_store.keys()
    assert living(client) == ["a", "b"]
