"""What the contract promises of one moment (section 5), while commits of another instance move entries."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import pytest

from ad_seller.storage.redis import news
from ad_seller.storage.redis.index import MOMENT
from ad_seller.storage.redis_backend import RedisBackend
from ad_seller.storage.testing.servers import RedisServer

from .support import calls, plain

NAMES = MOMENT - 1  #: that stay; one more moves

Look = Callable[[RedisBackend], Awaitable[int]]


async def listed(store: RedisBackend) -> int:
    return len(await store.list_orders())


async def scanned(store: RedisBackend) -> int:
    return len((await store.scan("order:*", limit=MOMENT)).items)


LOOKS: dict[str, Look] = {
    "count": lambda store: store.count("order:*"),
    "keys": lambda store: _length(store.keys("order:*")),
    "keys of a pattern": lambda store: _length(store.keys("order:*[0-9a-z]")),
    "scan": scanned,
    "list": listed,
}


async def _length(keys: Awaitable[list[str]]) -> int:
    return len(await keys)


@asynccontextmanager
async def moving(store: RedisBackend) -> AsyncIterator[list[int]]:
    """Move one order from before all others to behind them and back, for ever; count the moves."""
    moves = [0]

    async def move() -> None:
        while True:
            for old, new in (("order:0", "order:z"), ("order:z", "order:0")):
                async with store.transaction() as tx:
                    await tx.delete(old)
                    await tx.set(new, {"status": "moved"})
                moves[0] += 1

    await store.set("order:0", {"status": "moved"})
    task = asyncio.create_task(move())
    try:
        yield moves
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


@pytest.mark.parametrize("look", LOOKS)
async def test_a_listing_of_ten_thousand_names(look: str, own_redis: RedisServer) -> None:
    """Each name is there once: a commit that moves one is seen whole or not at all."""
    async with RedisBackend(own_redis.url) as store, RedisBackend(own_redis.url) as other:
        await other.set_many({f"order:k{number:05}": {"status": "new"} for number in range(NAMES)})
        async with moving(other) as moves:
            found: list[int] = []
            while len(found) < 12 or moves[0] <= 12:
                found.append(await LOOKS[look](store))
        assert set(found) == {MOMENT}


@pytest.mark.parametrize("look", LOOKS)
async def test_a_listing_that_looks_at_all_keys_itself(
    look: str, own_redis: RedisServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is one script, so one moment, too."""
    monkeypatch.setattr(news.News, "do_without", lambda self: True)
    async with RedisBackend(own_redis.url) as store, RedisBackend(own_redis.url) as other:
        await other.set_many({f"order:k{number:05}": {"status": "new"} for number in range(2_000)})
        async with moving(other) as moves:
            found: list[int] = []
            while len(found) < 12 or moves[0] <= 12:
                found.append(await LOOKS[look](store))
        assert set(found) == {2_001}
        assert store.stats().index_trusted is False, "nobody told it"


async def test_a_listing_beyond_ten_thousand_names(own_redis: RedisServer) -> None:
    """What is there all the time comes exactly once, and what never was does not come."""
    staying = [f"order:k{number:05}" for number in range(2 * MOMENT)]
    async with RedisBackend(own_redis.url) as store, RedisBackend(own_redis.url) as other:
        await other.set_many({key: {"status": "new"} for key in staying})
        async with moving(other):
            for _ in range(3):
                keys = await store.keys("order:*")
                entries = [key for key, _ in (await store.scan("order:*")).items]
                assert [key for key in keys if key.startswith("order:k")] == staying
                assert [key for key in entries if key.startswith("order:k")] == staying
                assert {*keys, *entries} - set(staying) <= {"order:0", "order:z"}


async def test_get_many_of_a_thousand_keys(own_redis: RedisServer) -> None:
    """All values are of one `set_many`, also beside other reads of the same turn."""
    keys = [f"session:{number}" for number in range(1_000)]
    async with RedisBackend(own_redis.url) as store, RedisBackend(own_redis.url) as other:

        async def write() -> None:
            number = 0
            while True:
                number += 1
                await other.set_many(dict.fromkeys(keys, number))

        await other.set_many(dict.fromkeys(keys, 0))
        with plain(own_redis.url) as client:
            client.config_resetstat()
        assert len(await store.get_many(keys)) == 1_000
        assert calls(own_redis.url) == {"mget": 1}, "what is one command cannot be torn"
        task = asyncio.create_task(write())
        try:
            seen: set[int] = set()
            tries = 0
            while (tries := tries + 1) < 60 or len(seen) <= 5:
                [_, values, _] = await asyncio.gather(
                    store.get_many(keys[:300]), store.get_many(keys), store.get("session:5")
                )
                assert len(set(values.values())) == 1
                seen |= set(values.values())
        finally:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
