"""One server, several programs: older seller agents, other prefixes, other types, and our own extra methods."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest

from ad_seller.storage import CorruptValueError, InvalidArgumentError, InvalidKeyError, InvalidValueError
from ad_seller.storage.redis_backend import RedisBackend
from ad_seller.storage.testing.servers import RedisServer

from .support import plain

VALUES: dict[str, Any] = {
    "product:display": {"name": "Display ÄÖÜ €", "price": 1.0, "tags": ["a", None, True], "nested": {"": {}}},
    "session_index:buyer:acme": ["s-1", "s-2"],
    "agent_url_index:https://buyer.example/a?b=%c*[": "agent-1",
    "counter": 2**70,
    "text": 'quotes " and \\ and \n and \u2028 and \U0001f600',
    "empty": {},
}


async def test_what_an_older_agent_wrote(own_redis: RedisServer, own_store: RedisBackend) -> None:
    with plain(own_redis.url) as client:
        for key, value in VALUES.items():
            client.set(f"ad_seller:{key}", json.dumps(value))
        client.execute_command("SETEX", "ad_seller:quote:1", 60, json.dumps({"status": "available"}))
    assert dict((await own_store.scan()).items) == {**VALUES, "quote:1": {"status": "available"}}
    left = await own_store.ttl("quote:1")
    assert left is not None
    assert 50 < left <= 60
    assert await own_store.ttl("counter") is None
    assert await own_store.increment("counter") == 2**70 + 1
    assert await own_store.compare_and_set("product:display", VALUES["product:display"], {"price": 2})
    assert await own_store.compare_and_set("quote:1", {"status": "available"}, {"status": "sold"})
    assert (await own_store.ttl("quote:1") or 0) > 50
    await own_store.add_session_to_buyer_index("s-3", "acme")
    assert await own_store.get_buyer_session_ids("acme") == ["s-1", "s-2", "s-3"]


async def test_what_an_older_agent_reads(own_redis: RedisServer, own_store: RedisBackend) -> None:
    await own_store.set_many(VALUES)
    await own_store.set("quote:1", {"status": "available"}, ttl=60)
    await own_store.set("short", 1, ttl=0.5)
    with plain(own_redis.url) as client:
        assert {key: json.loads(client.get(f"ad_seller:{key}")) for key in VALUES} == VALUES
        assert 50 < client.ttl("ad_seller:quote:1") <= 60
        assert 0 < client.pttl("ad_seller:short") <= 500
        assert client.ttl("ad_seller:counter") == -1
        client.set("ad_seller:counter", "5")
        assert client.delete("ad_seller:empty") == 1
    assert await own_store.increment("counter") == 6
    assert await own_store.get("empty") is None


async def test_corrupt_values_are_named(own_redis: RedisServer, own_store: RedisBackend) -> None:
    await own_store.set_many({"deal:a": 1, "deal:c": 3})
    with plain(own_redis.url) as client:
        for damage in (b"{", b"", b"\xff", b'{"a":"\xff"}', b"NaN", b"1 2", b"hello", b"\x001"):
            client.set("ad_seller:deal:b", damage)
            for call in (
                lambda: own_store.get("deal:b"),
                lambda: own_store.list_deals(),
                lambda: own_store.update("deal:b", lambda _: 1),
            ):
                with pytest.raises(CorruptValueError, match="deal:b") as caught:
                    await call()
                assert caught.value.key == "deal:b"
            errors: list[CorruptValueError] = []
            assert (await own_store.scan("deal:*", on_corrupt=errors.append)).items == [
                ("deal:a", 1),
                ("deal:c", 3),
            ]
            assert [error.key for error in errors] == ["deal:b"]
            assert client.get("ad_seller:deal:b") == damage
    await own_store.set("deal:b", 2)
    assert (await own_store.scan("deal:*")).items == [("deal:a", 1), ("deal:b", 2), ("deal:c", 3)]


async def test_foreign_types_and_names_do_not_break_listings(
    own_redis: RedisServer, own_store: RedisBackend
) -> None:
    await own_store.set_many({"deal:a": 1, "deal:z": 2})
    with plain(own_redis.url) as client:
        client.lpush("ad_seller:deal:list", "x")
        client.hset("ad_seller:deal:hash", "field", "x")
        client.sadd("ad_seller:deal:set", "x")
        client.zadd("ad_seller:deal:zset", {"x": 1})
        client.xadd("ad_seller:deal:stream", {"x": "1"})
        for name in (b"deal:\xff\xfe", b"deal:\0", b"", b"deal:" + b"x" * 3000, b"deal:\xed\xa0\x80"):
            client.set(b"ad_seller:" + name, b"1")
        client.set("other:deal:x", b"1")
        client.set("ad_selle", b"1")
        for pattern in ("*", "deal:*", "*[!x]", "d*"):
            assert [key for key in await own_store.keys(pattern) if not await _is_foreign(own_store, key)] == [
                "deal:a",
                "deal:z",
            ]
            assert (await own_store.scan(pattern)).items == [("deal:a", 1), ("deal:z", 2)]
            assert await own_store.count(pattern) == len(await own_store.keys(pattern))
        assert len(await own_store.list_deals()) == 2
        assert await own_store.get("deal:list") is None
        assert await own_store.get_many(["deal:hash", "deal:a"]) == {"deal:a": 1}
        assert not await own_store.compare_and_set("deal:list", 1, 2)
        await own_store.set("deal:list", 3)
        assert await own_store.get("deal:list") == 3


async def _is_foreign(store: RedisBackend, key: str) -> bool:
    return await store.get(key) is None


async def test_incr_of_a_foreign_type_is_our_error(own_redis: RedisServer, own_store: RedisBackend) -> None:
    with plain(own_redis.url) as client:
        client.lpush("ad_seller:list", "x")
    for key, value in (("text", "x"), ("float", 1.5), ("large", 2**70), ("true", True)):
        await own_store.set(key, value)
        with pytest.raises(InvalidArgumentError, match=key) as caught:
            await own_store.incr(key)
        assert caught.value.key == key
        assert await own_store.get(key) == value
    with pytest.raises((InvalidArgumentError, CorruptValueError)):
        await own_store.increment("text")


@pytest.mark.parametrize(
    "prefix", ["ad*[x]:", "", "?", "[a-z]", "\\", "{tag}:", "ä:\n", "%s", "a" * 1000, "ad_seller"]
)
async def test_any_prefix(prefix: str, own_redis: RedisServer) -> None:
    url = own_redis.url
    neighbours = ["ad*[y]:key", "adx:key", "x", "a", "\\\\key", "ad_seller:key", "zzz", "*", prefix[:-1] + "~key"]
    with plain(url) as client:
        for name in neighbours:
            client.set(name, b'"of a neighbour"')
    entries = {"key": 1, "k*y": 2, "kay": 3, "[key]": 4}
    async with RedisBackend(url, prefix) as store:
        await store.set_many(entries)
        if prefix not in {"", "ad_seller", "?", "\\", "a" * 1000} or prefix == "?":
            assert dict((await store.scan()).items) == entries
        assert await store.keys("k*y") == sorted(["k*y", "kay", "key"])
        assert await store.keys("k\\*y") == ["k*y"]
        assert await store.keys("[[]key]") == ["[key]"]
        with plain(url) as client:
            for key, value in entries.items():
                assert client.get((prefix + key).encode()) == str(value).encode()
        assert await store.delete_many(entries) == 4
    if prefix:
        with plain(url) as client:
            assert all(client.get(name) == b'"of a neighbour"' for name in neighbours)


async def test_two_prefixes_do_not_see_each_other(redis_url: str, redis_prefix: str) -> None:
    async with (
        RedisBackend(redis_url, f"{redis_prefix}a:") as one,
        RedisBackend(redis_url, f"{redis_prefix}b:") as two,
    ):
        await one.set("key", 1)
        assert await two.keys() == []
        assert await two.get("key") is None
        assert not await two.delete("key")


async def test_publish_reaches_the_subscribers(store: RedisBackend, redis_url: str, redis_prefix: str) -> None:
    with plain(redis_url) as client:
        subscriber = client.pubsub()
        subscriber.subscribe(f"{redis_prefix}channel:deals")
        assert subscriber.get_message(timeout=20)["type"] == "subscribe"
        assert await store.publish("deals", {"id": 1, "ä": [None]}) == 1
        assert await store.publish("others", 1) == 0
        message = subscriber.get_message(timeout=20)
        assert json.loads(message["data"]) == {"id": 1, "ä": [None]}
        subscriber.close()
    with pytest.raises(InvalidValueError):
        await store.publish("deals", {1: 2})
    with pytest.raises(InvalidKeyError):
        await store.publish("", 1)


async def test_incr_counts_every_call(store: RedisBackend) -> None:
    sums = await asyncio.gather(*(store.incr("counter") for _ in range(500)))
    assert sorted(sums) == list(range(1, 501))
    assert await store.get("counter") == 500
    assert await store.increment("counter", 5) == 505
    assert await store.incr("counter") == 506
    await store.expire("counter", 60)
    assert await store.incr("counter") == 507
    assert await store.ttl("counter") is not None


async def test_get_stats(store: RedisBackend) -> None:
    await store.set("key", 1)
    await store.get("key")
    await store.get("missing")
    stats = await store.get_stats()
    assert stats["connected_clients"] >= 1
    assert stats["total_commands_processed"] >= 3
    assert stats["keyspace_hits"] >= 1
    assert stats["keyspace_misses"] >= 1
    assert isinstance(stats["used_memory_human"], str)
