"""Listings wait for one another on one connection: what one leaves there, or fails of, is not that of the next."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest

from ad_seller.storage.driver.failures import LostError, NotSentError
from ad_seller.storage.driver.query import KeyQuery
from ad_seller.storage.records.globs import compile_glob
from ad_seller.storage.redis import connection, news
from ad_seller.storage.redis.index import first_part
from ad_seller.storage.redis.listener import Listener
from ad_seller.storage.redis.listings import Listings
from ad_seller.storage.redis.pool import NodePool
from ad_seller.storage.redis.router import RedisRouter
from ad_seller.storage.redis.tracker import IndexTracker
from ad_seller.storage.redis_backend import RedisBackend
from ad_seller.storage.testing.servers import RedisServer

from .support import plain

SPAN = KeyQuery(compile_glob("deal:*"))
PART = first_part("ad_seller:", SPAN, "names")


@pytest.fixture
async def pool(own_redis: RedisServer) -> AsyncIterator[NodePool]:
    pool = NodePool(own_redis.url, connections=3)
    yield pool
    own_redis.thaw()
    await pool.close()


@pytest.fixture
async def tracker(pool: NodePool) -> AsyncIterator[IndexTracker]:
    """One that has listed, so that it has a connection."""
    tracker = IndexTracker(pool, "ad_seller:", 60)
    assert await tracker.ask(PART, asyncio.get_running_loop().time() + 60, first=True)
    yield tracker
    await tracker.close()


async def test_who_has_gone_takes_no_time_from_the_next(tracker: IndexTracker, own_redis: RedisServer) -> None:
    loop = asyncio.get_running_loop()
    shared = tracker._listener._connection
    own_redis.freeze()
    gone = asyncio.create_task(tracker.ask(PART, loop.time() + 0.3, first=True))
    await asyncio.sleep(0.05)
    gone.cancel()
    waits = asyncio.create_task(tracker.ask(PART, loop.time() + 60, first=True))
    await asyncio.sleep(0.6)
    own_redis.thaw()
    assert await waits
    assert tracker._listener._connection is shared


async def test_a_stuck_connection_is_ended_although_somebody_always_waits(
    pool: NodePool, own_redis: RedisServer
) -> None:
    """Within the time of the one who has gone, and that of the first whom it would have taken time from."""
    loop = asyncio.get_running_loop()
    shared = await pool.dedicated(lambda push: None, loop.time() + 60)
    own_redis.freeze()
    callers = 0
    waiting = shared.send([("PING",)], loop.time() + 0.6)
    while not shared.is_closing:
        assert (callers := callers + 1) <= 15, "each waits for a tenth of a second: that is more than 0.6 s twice"
        before, waiting = waiting, shared.send([("PING",)], loop.time() + 0.6)
        before.cancel()
        await asyncio.wait([waiting], timeout=0.1)
    with pytest.raises(LostError, match="no answer in time"):
        await waiting
    pool.release(shared)


async def test_an_answer_shows_that_it_is_not_stuck(pool: NodePool, own_redis: RedisServer) -> None:
    loop = asyncio.get_running_loop()
    shared = await pool.dedicated(lambda push: None, loop.time() + 60)
    for _ in range(3):
        own_redis.freeze()
        gone = shared.send([("PING",)], loop.time() + 0.1)
        gone.cancel()
        waits = shared.send([("PING",)], loop.time() + 60)
        await asyncio.sleep(0.2)
        own_redis.thaw()
        assert await waits == [b"PONG"]
    pool.release(shared)


@pytest.fixture
async def listings(own_redis: RedisServer, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Listings]:
    """Those of a store, one of which has been made, so that they are told of changes."""
    monkeypatch.setattr(news, "MOST_KEYS", 0)
    router = RedisRouter(RedisBackend(own_redis.url, timeout=60)._settings)
    listings = Listings(router, "ad_seller:", 60, indexed=True)
    assert await listings.entries(SPAN) == []
    assert listings.index_trusted
    yield listings
    own_redis.thaw()
    await listings.close()
    await router.close()


async def within(seconds: float, listings: Listings, way: str) -> Any:
    listings._timeout = seconds  # is read before anything is waited for
    return await getattr(listings, way)(SPAN)


@pytest.mark.parametrize("way", ["keys", "entries"])
async def test_who_waits_for_others_has_its_own_time(way: str, listings: Listings, own_redis: RedisServer) -> None:
    """Each that was late told all that waited for it, or shared its look at the news, and these tried once more."""
    own_redis.freeze()
    late = []
    for number in range(1, 4):
        late.append(asyncio.create_task(within(0.3 * number, listings, "keys" if number == 1 else way)))
        await asyncio.sleep(0)
    waits = asyncio.create_task(within(60, listings, way))
    answers = await asyncio.gather(*late, return_exceptions=True)
    assert {str(answer) for answer in answers} == {"no answer in time"}
    assert not waits.done()
    own_redis.thaw()
    assert await waits == []


async def test_who_has_no_time_left_does_not_end_the_connection(
    tracker: IndexTracker, own_redis: RedisServer
) -> None:
    loop = asyncio.get_running_loop()
    shared = tracker._listener._connection
    own_redis.freeze()
    waits = asyncio.create_task(tracker.ask(PART, loop.time() + 60, first=True))
    late = asyncio.create_task(tracker.ask(PART, loop.time() + 0.1, first=True))
    await asyncio.sleep(0.2)
    own_redis.thaw()
    assert await waits
    with pytest.raises(NotSentError, match="no answer in time"):
        await late
    assert await tracker.ask(PART, loop.time() + 60, first=True)
    assert tracker._listener._connection is shared


@pytest.mark.parametrize("is_stuck", [False, True])
async def test_who_has_little_time_left_ends_it_for_others_only_if_it_is_stuck(
    is_stuck: bool, tracker: IndexTracker, own_redis: RedisServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    loop = asyncio.get_running_loop()
    monkeypatch.setattr(connection, "_LOOK", 0.3 if is_stuck else 60)
    shared, generation = tracker._listener._connection, tracker._generation
    assert shared is not None
    own_redis.freeze()
    with pytest.raises(LostError, match="no answer in time"):
        await tracker.ask(PART, loop.time() + 0.1, first=True)
    if is_stuck:
        await asyncio.sleep(0.5)
    assert shared.is_closing is is_stuck
    own_redis.thaw()
    assert await tracker.ask(PART, loop.time() + 60, first=True)
    assert (tracker._listener._connection, tracker._generation) == (shared, generation) or is_stuck


async def test_one_on_which_somebody_was_late_is_looked_at_before_the_next_uses_it(
    pool: NodePool, own_redis: RedisServer
) -> None:
    """Or the next would wait on a dead one for all of its time."""
    loop = asyncio.get_running_loop()
    shared = await pool.dedicated(lambda push: None, loop.time() + 60)
    own_redis.freeze()
    with pytest.raises(LostError, match="no answer in time"):
        await shared.send([("PING",)], loop.time() + 0.1)
    assert not shared.is_closing
    assert not shared.is_quiet
    assert not await shared.is_reusable()
    pool.release(shared)


async def test_what_a_cancelled_listing_took_is_looked_at_by_the_next(
    tracker: IndexTracker, own_redis: RedisServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The names of which it was told, and of which it has looked at a part."""
    until = asyncio.get_running_loop().time() + 60
    names = [f"ad_seller:deal:{number}" for number in range(3)]
    with plain(own_redis.url) as client:
        client.mset(dict.fromkeys(names, "1"))
    await tracker._listener.ask(("PING",), until)  # the news comes before its answer
    generation, run, looked = tracker._generation, Listener.run, asyncio.Event()

    async def look_at_one(self: Listener, calls: Any, deadline: float) -> Any:
        if looked.is_set():
            await asyncio.sleep(60)
        looked.set()
        return await run(self, calls, deadline)

    with monkeypatch.context() as patch:
        patch.setattr("ad_seller.storage.redis.tracker.PART", 1)
        patch.setattr(Listener, "run", look_at_one)
        gone = asyncio.create_task(tracker.ask(PART, until, first=True))
        await looked.wait()
        gone.cancel()
        await asyncio.wait([gone])
    answer = await tracker.ask(PART, until, first=True)
    assert answer is not None
    assert answer[1].decode().split("\0") == names
    assert tracker._generation == generation


async def test_a_survey_that_is_cancelled_takes_no_time_from_others(
    tracker: IndexTracker, monkeypatch: pytest.MonkeyPatch
) -> None:
    loop = asyncio.get_running_loop()
    begun = asyncio.Event()

    async def look_long(*_: object) -> None:
        begun.set()
        await asyncio.sleep(60)

    monkeypatch.setattr(IndexTracker, "_look_at", look_long)
    quotes = first_part("ad_seller:", KeyQuery(compile_glob("quote:*")), "names")
    surveys = asyncio.create_task(tracker.ask(quotes, loop.time() + 60, first=True))
    await begun.wait()
    waits = asyncio.create_task(tracker.ask(PART, loop.time() + 1.5, first=True))
    await asyncio.sleep(1.6)
    surveys.cancel()
    assert await waits
