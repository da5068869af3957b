"""What surveys, and many changes at once, mean for the time of listings: the time-out is not used up by them."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest

from ad_seller.storage.redis import news, tracker
from ad_seller.storage.redis.index import index_name, scanned
from ad_seller.storage.redis.listings import Listings
from ad_seller.storage.redis_backend import RedisBackend
from ad_seller.storage.testing.servers import RedisServer

from .support import plain


async def slowly_scanned(*arguments: Any) -> AsyncIterator[list[bytes]]:
    """Take longer for a walk over all keys than calls may take."""
    await asyncio.sleep(1.5)
    async for names in scanned(*arguments):
        yield names


async def test_surveys_take_no_time_from_who_looked_alone(
    own_redis: RedisServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A listing that was to look at all keys itself, and cannot, is told of changes and surveys, too."""

    left: list[float] = []
    asked = Listings._asked

    def note(self: Listings, *arguments: Any) -> Any:
        left.append(arguments[-1] - asyncio.get_running_loop().time())
        return asked(self, *arguments)

    monkeypatch.setattr(tracker, "scanned", slowly_scanned)
    monkeypatch.setattr(news.News, "do_without", lambda self: True)
    monkeypatch.setattr(Listings, "_asked", note)
    async with RedisBackend(own_redis.url, timeout=1) as store:
        await store.set("order:\xe9", {"status": "open"})
        with plain(own_redis.url) as client:
            client.delete(index_name("ad_seller:"))  # only Python can tell whether the name is one of ours
        assert (await store.scan("order:*")).items == [("order:\xe9", {"status": "open"})]
    assert min(left) > 0


async def test_many_changes_again_while_many_are_looked_at(
    own_store: RedisBackend, client: Any, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """More than one script takes, between what was looked at and the question."""
    reconcile = tracker.IndexTracker._reconcile

    async def and_more(self: tracker.IndexTracker, deadline: float | None) -> None:
        await reconcile(self, deadline)
        client.mset({f"ad_seller:order:more:{number:05}": "1" for number in range(9_000)})
        await self._listener.ask(("PING",), asyncio.get_running_loop().time() + 20)

    assert await own_store.keys("order:*") == []
    client.mset({f"ad_seller:order:many:{number:05}": "1" for number in range(9_000)})
    monkeypatch.setattr(tracker.IndexTracker, "_reconcile", and_more)
    assert await own_store.count("order:m*") == 18_000
    assert own_store.stats().index_trusted
    assert "walk" not in caplog.text


async def test_surveys_take_no_time_from_listings(own_redis: RedisServer, monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither one's own nor that of another kind which it waits for, each longer than the time-out."""

    monkeypatch.setattr(tracker, "scanned", slowly_scanned)
    async with RedisBackend(own_redis.url, timeout=1) as store:
        await store.set_many({"deal:1": {"status": "open"}, "order:1": 1})
        assert (await store.scan("order:*")).items == [("order:1", 1)]
        beside = store.keys("deal:*"), store.keys("order:*"), store.scan("order:*"), store.count("quote:*")
        deals, orders, page, quotes = await asyncio.gather(*beside)
        assert (deals, orders, page.items, quotes) == (["deal:1"], ["order:1"], [("order:1", 1)], 0)
        assert await store.list_change_requests({"status": "open"}, limit=2) == []
