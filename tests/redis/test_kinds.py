"""An instance is told of changes of the kinds that it lists, and of no others; its listings miss nothing."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Collection
from typing import Any

import pytest

from ad_seller.storage import NamespacedBackend
from ad_seller.storage.concurrency.wakeups import Wakeup
from ad_seller.storage.redis import listener, news, tracker
from ad_seller.storage.redis.index import index_name, scanned
from ad_seller.storage.redis_backend import RedisBackend
from ad_seller.storage.testing.servers import RedisServer

INDEX = index_name("ad_seller:")


@pytest.fixture
def told(monkeypatch: pytest.MonkeyPatch) -> set[bytes]:
    """The names of which an instance was told."""
    names: set[bytes] = set()
    add = news.News.add

    def spy(self: news.News, changed: Collection[bytes], scope: str) -> None:
        names.update(changed)
        add(self, changed, scope)

    monkeypatch.setattr(news.News, "add", spy)
    return names


@pytest.fixture
async def store(own_redis: RedisServer) -> AsyncIterator[RedisBackend]:
    """A store with entries of two kinds that has listed one of them."""
    async with RedisBackend(own_redis.url) as store:
        await store.set_many({f"{kind}:{n}": n for kind in ("deal", "order") for n in range(3)})
        assert await store.keys("order:*") == ["order:0", "order:1", "order:2"]
        yield store


def prefixes(client: Any) -> int:
    """Return of how many prefixes the server tells anybody."""
    return int(client.info("stats")["tracking_total_prefixes"])


async def listed(store: RedisBackend, pattern: str) -> list[str]:
    """Return what all three ways to list find, which is the same."""
    keys = await store.keys(pattern)
    assert [key for key, _ in (await store.scan(pattern)).items] == keys
    assert await store.count(pattern) == len(keys)
    return keys


async def test_of_other_kinds_nothing_is_told(store: RedisBackend, client: Any, told: set[bytes]) -> None:
    for number in range(100):
        client.set(f"ad_seller:deal:foreign:{number}", "1")
        client.set(f"ad_seller:orders:{number}", "1")
    client.set("ad_seller:order:foreign", "1")
    assert await listed(store, "order:f*") == ["order:foreign"]
    assert told == {b"ad_seller:order:foreign"}
    assert prefixes(client) == 1


async def test_kinds_are_added_to_those_that_are_told(store: RedisBackend, client: Any, told: set[bytes]) -> None:
    client.set("ad_seller:deal:foreign", "1")
    client.delete("ad_seller:deal:1", "ad_seller:order:1")
    assert await listed(store, "deal:*") == ["deal:0", "deal:2", "deal:foreign"]
    client.delete("ad_seller:deal:0")
    client.set("ad_seller:deal:more", "1")
    client.set("ad_seller:order:more", "1")
    assert await listed(store, "order:*") == ["order:0", "order:2", "order:more"]
    assert await listed(store, "deal:*") == ["deal:2", "deal:foreign", "deal:more"]
    assert prefixes(client) == 2
    client.set("ad_seller:quote:1", "1")
    assert b"ad_seller:quote:1" not in told
    assert await listed(store, "quote:*") == ["quote:1"]
    assert prefixes(client) == 3


@pytest.mark.parametrize("wide", ["*", "o*", "[do]*", "?rder:*"])
async def test_who_lists_more_than_a_kind_is_told_of_all(
    wide: str, store: RedisBackend, client: Any, told: set[bytes]
) -> None:
    client.set("ad_seller:order:foreign", "1")
    client.set("ad_seller:deal:foreign", "1")
    keys = [key for key in await listed(store, "*") if key.startswith("deal:")]
    assert keys == ["deal:0", "deal:1", "deal:2", "deal:foreign"]
    client.delete("ad_seller:order:1", "ad_seller:deal:1")
    assert "order:1" not in await listed(store, wide)
    assert await listed(store, "deal:*") == ["deal:0", "deal:2", "deal:foreign"]
    client.set("ad_seller:quote:1", "1")
    assert await listed(store, "quote:*") == ["quote:1"]
    assert b"ad_seller:quote:1" in told
    assert prefixes(client) == 1


async def test_kinds_of_a_namespace_are_told_by_themselves(
    store: RedisBackend, client: Any, told: set[bytes]
) -> None:
    async with NamespacedBackend(store, "a") as space:
        assert await space.keys("order:*") == []
        client.mset({f"ad_seller:{name}:1": "1" for name in ("ns:a:deal", "ns:a:order", "ns:b:order")})
        assert await listed(store, "ns:a:order:*") == ["ns:a:order:1"]
        assert await space.keys("order:*") == ["order:1"]
        assert told == {b"ad_seller:ns:a:order:1"}
        for wide, names in (("ns:a:*", ["deal", "order"]), ("ns:*", ["deal", "order", "order"]), ("quote:*", [])):
            keys = await listed(store, wide)
            assert [key.split(":")[2] for key in keys] == names
            client.set("ad_seller:ns:a:order:1", "1")
            assert await space.keys("order:*") == ["order:1"]
            client.delete("ad_seller:order:0")
            assert await store.keys("order:*") == ["order:1", "order:2"]
            client.set("ad_seller:order:0", "1")
            assert await store.keys("order:0*") == ["order:0"]
        assert prefixes(client) == 3, "quote:, order: and ns:"


async def test_an_index_that_was_removed_is_made_anew_for_each_kind(store: RedisBackend, client: Any) -> None:
    for number in range(3):
        assert len(await listed(store, "deal:*")) == 3
        client.delete(INDEX)
        client.set(f"ad_seller:order:foreign:{number}", "1")
        assert len(await listed(store, "order:*")) == 3 + number + 1
        assert client.exists(INDEX)


async def test_two_instances_are_told_of_kinds_of_their_own(
    store: RedisBackend, own_redis: RedisServer, client: Any
) -> None:
    async with RedisBackend(own_redis.url) as other:
        for number in range(3):
            client.set(f"ad_seller:deal:foreign:{number}", "1")
            client.set(f"ad_seller:order:foreign:{number}", "1")
            assert len(await listed(other, "deal:*")) == 3 + number + 1
            assert len(await listed(store, "order:*")) == 3 + number + 1
        assert prefixes(client) == 2
        assert len(await listed(store, "deal:*")) == len(await listed(other, "order:*")) == 6


async def test_what_is_written_while_a_kind_is_surveyed(
    store: RedisBackend, client: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Before SCAN looks, between what it found and its way into the index, and after that; in both kinds."""
    parts = 0

    def write(moment: str) -> None:
        for kind in ("deal", "order"):
            client.set(f"ad_seller:{kind}:{moment}", "1")
        client.delete("ad_seller:order:1", "ad_seller:deal:1" if moment == "between" else "ad_seller:deal:0")

    async def beside(*arguments: Any) -> AsyncIterator[list[bytes]]:
        nonlocal parts
        write("before")
        async for names in scanned(*arguments):
            parts += 1
            write("between")
            yield names
        write("after")

    monkeypatch.setattr(tracker, "scanned", beside)
    wider = asyncio.create_task(listed(store, "deal:*"))
    narrow = asyncio.create_task(listed(store, "order:*"))
    assert await wider == ["deal:2", "deal:after", "deal:before", "deal:between"]
    assert await narrow == ["order:0", "order:2", "order:after", "order:before", "order:between"]
    assert parts >= 1
    monkeypatch.undo()
    assert await listed(store, "order:*") == await narrow


@pytest.mark.parametrize("what", ["flushed", "too many", "cut", "removed"])
async def test_what_ends_the_trust_while_a_kind_is_surveyed(
    what: str, store: RedisBackend, client: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(news, "_MOST", 200)
    happened = False
    many = {f"ad_seller:order:many:{n:03}": "1" for n in range(300)}
    happen: dict[str, Callable[[], Any]] = {
        "flushed": client.flushall,
        "too many": lambda: client.mset(many),
        "cut": lambda: client.client_kill_filter(_type="pubsub"),
        "removed": lambda: client.delete(INDEX),
    }

    async def beside(*arguments: Any) -> AsyncIterator[list[bytes]]:
        nonlocal happened
        async for names in scanned(*arguments):
            if not happened:
                happened = True
                happen[what]()
                client.mset({"ad_seller:deal:foreign": "1", "ad_seller:order:foreign": "1"})
            yield names

    monkeypatch.setattr(tracker, "scanned", beside)
    own = [] if what == "flushed" else ["0", "1", "2"]
    assert await listed(store, "deal:*") == [f"deal:{name}" for name in [*own, "foreign"]]
    assert await listed(store, "order:[!m]*") == [f"order:{name}" for name in [*own, "foreign"]]
    assert await store.count("order:m*") == (300 if what == "too many" else 0)
    assert happened


async def test_cancelled_listings_of_many_kinds_leave_what_is_told_right(store: RedisBackend, client: Any) -> None:
    for number in range(60):
        kind = f"kind{number % 6}"
        client.set(f"ad_seller:{kind}:{number:02}", "1")
        if number % 10 == 0:
            client.delete(INDEX)
        listing = asyncio.create_task(store.keys("*" if number % 20 == 19 else f"{kind}:*"))
        await asyncio.sleep(number % 7 * 0.0003)
        listing.cancel()
        await asyncio.gather(listing, return_exceptions=True)
        client.set(f"ad_seller:{kind}:{number:02}:more", "1")
        assert len(await listed(store, f"{kind}:*")) == (number // 6 + 1) * 2


async def test_of_very_many_kinds_all_is_told(store: RedisBackend, client: Any) -> None:
    for number in range(2 * listener._MOST_KINDS):
        assert prefixes(client) == (number + 1 if number < listener._MOST_KINDS else 1)
        client.set(f"ad_seller:kind{number}:foreign", "1")
        assert await listed(store, f"kind{number}:*") == [f"kind{number}:foreign"]
        client.delete("ad_seller:order:0")
        client.set("ad_seller:order:0", "1")
        assert len(await listed(store, "order:*")) == 3


async def test_a_server_that_adds_nothing_tells_of_all(
    store: RedisBackend, client: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It refuses what it tells of already; a server that does not add prefixes would refuse them likewise."""
    tracking = listener._tracking
    monkeypatch.setattr(listener, "_tracking", lambda scope: tracking("ad_seller:"))
    client.client_kill_filter(_type="pubsub")
    assert len(await listed(store, "order:*")) == 3
    client.set("ad_seller:deal:foreign", "1")
    assert len(await listed(store, "deal:*")) == 4
    monkeypatch.undo()
    client.set("ad_seller:quote:foreign", "1")
    assert await listed(store, "quote:*") == ["quote:foreign"]
    client.delete("ad_seller:order:0", "ad_seller:deal:0")
    assert (await store.count("order:*"), await store.count("deal:*"), prefixes(client)) == (2, 3, 1)


async def test_who_listed_all_once_is_not_told_of_all_for_ever(
    store: RedisBackend, client: Any, told: set[bytes]
) -> None:
    """To be told of the other kinds comes to cost as much as a look at all keys; then it begins anew."""
    assert len(await listed(store, "*")) == 6
    for number in range(4 * news._FEWEST):
        client.set("ad_seller:deal:0", "1")
        assert await store.get("deal:0") == 1, "a turn in which it hears"
        if number % 10 == 0:
            assert len(await listed(store, "order:*")) == 3
    told.clear()
    client.set("ad_seller:deal:0", "1")
    client.set("ad_seller:order:more", "1")
    assert len(await listed(store, "order:*")) == 4
    assert told == {b"ad_seller:order:more"}


async def test_who_waits_hears_of_the_kinds_that_are_listed(store: RedisBackend, client: Any) -> None:
    assert await store._hears("order:")
    assert await store._hears("order:1")
    assert not await store._hears("log:event:")
    assert not await store._hears("")
    assert await listed(store, "log:event:*") == []
    assert await store._hears("log:event:")
    with Wakeup("log:event:") as wakeup:
        client.set("ad_seller:log:event:1", "1")
        assert await wakeup.wait(20)
    assert len(await listed(store, "*")) == 7
    assert await store._hears("")
