"""`examples/booking.py`: one commit, one answer."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest

from ad_seller.storage import IdempotencyConflictError, StorageBackend, open_url
from examples.booking import QuoteTakenError, book


@pytest.fixture
async def storage() -> AsyncIterator[StorageBackend]:
    async with open_url("memory://") as backend:
        await backend.set_quote("qt-1", {"quote_id": "qt-1", "status": "available"})
        await backend.set_quote("qt-2", {"quote_id": "qt-2", "status": "available"})
        yield backend


async def test_the_deal_the_quote_the_event_and_the_record_name_each_other(storage: StorageBackend) -> None:
    deal = await book(storage, "acme", "r-1", "qt-1")
    [event_key] = await storage.keys("event:*")
    assert deal["deal_id"].startswith("DEMO-")
    assert await storage.get_deal(deal["deal_id"]) == deal
    assert await storage.get_quote("qt-1") == {"quote_id": "qt-1", "status": "booked", "deal_id": deal["deal_id"]}
    assert (await storage.get(event_key) or {})["deal_id"] == deal["deal_id"]
    assert await storage.exists("idempotency:book:acme:r-1")


async def test_every_copy_of_a_request_gets_the_same_deal(storage: StorageBackend) -> None:
    deals = await asyncio.gather(*(book(storage, "acme", "r-1", "qt-1") for _ in range(8)))
    assert deals == [await book(storage, "acme", "r-1", "qt-1")] * 8
    assert await storage.list_deals() == deals[:1]


async def test_a_taken_quote_is_refused_and_nothing_is_written(storage: StorageBackend) -> None:
    await book(storage, "acme", "r-1", "qt-1")
    before = await storage.keys()
    for quote_id in ("qt-1", "qt-unknown"):
        with pytest.raises(QuoteTakenError, match=quote_id):
            await book(storage, "zenith", "r-1", quote_id)
    assert await storage.keys() == before


async def test_a_request_id_is_for_one_quote(storage: StorageBackend) -> None:
    await book(storage, "acme", "r-1", "qt-1")
    with pytest.raises(IdempotencyConflictError):
        await book(storage, "acme", "r-1", "qt-2")
