"""What a listing by the index shows at the edges: nothing there, just expired, just as much as one part holds."""

from __future__ import annotations

from typing import Any

import pytest

from ad_seller.storage.redis.index import FIRST_NAME, LIST, PART, RECONCILE, SWEEP, index_name
from ad_seller.storage.redis_backend import RedisBackend
from ad_seller.storage.testing.servers import RedisServer

from .support import calls, plain


async def test_a_step_of_the_sweep(store: RedisBackend, redis_url: str, redis_prefix: str) -> None:
    """It looks at so many names, takes out those that live no more, and says where to go on."""
    await store.set_many(dict.fromkeys("abcde", 1))
    index = index_name(redis_prefix)
    with plain(redis_url) as client:
        client.delete(f"{redis_prefix}b", f"{redis_prefix}d")
        b, e = f"{redis_prefix}b".encode(), f"{redis_prefix}e".encode()
        assert client.eval(SWEEP.text, 1, index, FIRST_NAME, 2) == [b, 1]
        assert client.eval(SWEEP.text, 1, index, b"(" + b, 3) == [e, 1]
        assert client.eval(SWEEP.text, 1, index, b"(" + e, 3) == [b"", 0]
        assert client.eval(SWEEP.text, 1, index, FIRST_NAME, 4) == [b"", 0]
        names = [name.decode().removeprefix(redis_prefix) for name in client.zrange(index, 0, -1)]
    assert names == ["a", "c", "e"]


async def test_a_part_of_a_listing(store: RedisBackend, redis_url: str, redis_prefix: str) -> None:
    """Names that live no more are left out, unless who asks looks for the entries anyway."""
    await store.set_many(dict.fromkeys("abc", 1))
    index, names = index_name(redis_prefix), [f"{redis_prefix}{key}".encode() for key in "abc"]
    with plain(redis_url) as client:
        client.zadd(index, {"\0token": 0})
        client.delete(names[1])

        def part(most: int, mode: str, reverse: int = 0) -> Any:
            return client.eval(LIST.text, 1, index, "\0token", FIRST_NAME, "+", reverse, most, mode)

        assert part(9, "living") == [b"", b"\0".join([names[0], names[2]])]
        assert part(2, "living") == [names[1], names[0]]
        assert part(2, "living", 1) == [names[1], names[2]]
        assert part(9, "count") == [b"", 2]
        assert part(9, "names") == [b"", b"\0".join(names)]
        client.zrem(index, "\0token")
        assert part(9, "names") is None


async def test_the_index_is_made_right_about_names(store: RedisBackend, redis_url: str, redis_prefix: str) -> None:
    await store.set_many(dict.fromkeys("ab", 1))
    index, names = index_name(redis_prefix), [f"{redis_prefix}{key}".encode() for key in "abc"]
    with plain(redis_url) as client:
        client.delete(names[0])  # is in the index, and gone
        client.set(names[2], "1")  # is there, and not in the index
        assert client.eval(RECONCILE.text, 1, index, *names) == 2
        assert client.zrange(index, 0, -1) == names[1:]
        assert client.eval(RECONCILE.text, 1, index, *names) == 0
        assert client.eval(RECONCILE.text, 1, index, *names[1:]) == 0
        assert client.zrange(index, 0, -1) == names[1:]


@pytest.mark.parametrize("others", [0, 6_000])  # with few keys a listing may look at all of them itself
async def test_what_is_no_string_any_more_is_no_entry(
    store: RedisBackend, redis_url: str, redis_prefix: str, others: int
) -> None:
    """Another program replaces an entry by a list before anybody listed: all calls agree that there is none."""
    await store.set_many({key: {} for key in ("deal:1", "deal:2", *(f"order:{n}" for n in range(others)))})
    with plain(redis_url) as client:
        client.delete(f"{redis_prefix}deal:1")
        client.rpush(f"{redis_prefix}deal:1", "x")
    assert await store.keys("deal:*") == ["deal:2"]
    assert await store.count("deal:*") == 1
    assert await store.list_deals() == [{}]
    assert (await store.scan("deal:*")).items == [("deal:2", {})]
    assert await store.get("deal:1") is None
    assert not await store.exists("deal:1")


async def test_who_disconnects_leaves_nothing_in_the_index(redis_url: str, redis_prefix: str) -> None:
    index = index_name(redis_prefix)
    with plain(redis_url) as client:

        def tokens() -> int:
            return len([name for name in client.zrange(index, 0, -1) if name.startswith(b"\0")])

        async with RedisBackend(redis_url, redis_prefix) as staying:
            await staying.set("a", 1)
            assert await staying.keys() == ["a"]
            async with RedisBackend(redis_url, redis_prefix) as leaving:
                assert await leaving.keys() == ["a"]
                assert tokens() == 2
            assert client.zrange(index, 0, -1)[1:] == [f"{redis_prefix}a".encode()]
            assert tokens() == 1, "that of the other one stays"
            await staying.delete("a")
            async with RedisBackend(redis_url, redis_prefix) as leaving:
                assert await leaving.keys() == []
            assert not client.exists(index), "nobody is listed in it"
            await staying.set("b", 1)
            assert await staying.keys() == ["b"]
        assert client.zrange(index, 0, -1) == [f"{redis_prefix}b".encode()]


async def test_what_has_expired_is_in_no_part(own_redis: RedisServer, own_store: RedisBackend) -> None:
    """Also in the moment before the server itself has noticed."""
    lasting = [f"item:{n:04}" for n in range(PART)]
    ending = [f"item:z{n:03}" for n in range(500)]
    await own_store.set_many(dict.fromkeys(lasting, 1))
    with plain(own_redis.url) as client:
        for _ in range(3):
            await own_store.set_many(dict.fromkeys(ending, 1))
            assert await own_store.count() == PART + 500
            end = server_ms(client) + 300
            steps = client.pipeline(transaction=False)
            for key in ending:
                steps.pexpireat(f"ad_seller:{key}", end)
            steps.execute()
            while (now := server_ms(client)) < end + 150:
                shown, number = await own_store.keys(), await own_store.count()
                assert now <= end or (shown, number) == (lasting, PART), f"{now - end} ms after the instant"


def server_ms(client: Any) -> int:
    """Return the server's time in milliseconds."""
    seconds, micros = client.time()
    return int(seconds * 1000 + micros // 1000)


async def test_nothing_there_is_no_reason_to_walk(
    own_redis: RedisServer, own_store: RedisBackend, caplog: pytest.LogCaptureFixture
) -> None:
    assert await own_store.keys() == []
    with plain(own_redis.url) as client:
        client.config_resetstat()
    assert await own_store.keys() == []
    assert await own_store.count() == 0
    assert (await own_store.scan()).items == []
    assert not {"scan", "keys"} & set(calls(own_redis.url))
    assert not caplog.records


async def test_whatever_another_program_changed_the_index_stays_in_use(
    own_redis: RedisServer, own_store: RedisBackend, caplog: pytest.LogCaptureFixture
) -> None:
    await own_store.set_many({f"item:{n}": n for n in range(4)})
    assert await own_store.count() == 4
    with plain(own_redis.url) as client:
        client.config_resetstat()
        client.delete("ad_seller:item:0")
        assert await own_store.keys() == ["item:1", "item:2", "item:3"]
        client.set("ad_seller:item:0", 1)
        assert await own_store.count() == 4
        client.pipeline(transaction=True).delete("ad_seller:item:1").set("ad_seller:other", 1).execute()
        assert await own_store.keys() == ["item:0", "item:2", "item:3", "other"]
        client.delete("ad_seller:item:2", "ad_seller:item:3")
        assert await own_store.keys() == ["item:0", "other"]
        assert [name for name in client.zrange(index_name("ad_seller:"), 0, -1) if name[0]] == [
            b"ad_seller:item:0",
            b"ad_seller:other",
        ]
    assert not {"scan", "keys"} & set(calls(own_redis.url))
    assert not caplog.records


async def test_tokens_of_instances_long_gone_are_removed(own_redis: RedisServer) -> None:
    """Not before there are many: whose token is gone has to look at all keys again."""
    index = index_name("ad_seller:")
    with plain(own_redis.url) as client:
        client.zadd(index, {f"\0{n}": 0 for n in range(1000)})
        async with RedisBackend(own_redis.url) as one, RedisBackend(own_redis.url) as two:
            await one.set("item", 1)
            assert await one.keys() == ["item"]
            assert client.zlexcount(index, "-", b"(\1") == 1001
            assert await two.keys() == ["item"]
            assert client.zlexcount(index, "-", b"(\1") == 1
            assert await one.keys() == ["item"]
            assert client.zlexcount(index, "-", b"(\1") == 2


@pytest.mark.parametrize("number", [1, PART - 1, PART, PART + 1, 2 * PART])
async def test_just_as_much_as_a_part_holds(number: int, own_store: RedisBackend) -> None:
    entries = {f"item:{n:05}": n for n in range(number)}
    await own_store.set_many(entries)
    assert await own_store.keys() == list(entries)
    assert await own_store.count() == number
    assert dict((await own_store.scan("item:*", limit=number)).items) == entries
