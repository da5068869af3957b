"""`examples/negotiation.py`: rounds are numbered, and end."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest

from ad_seller.storage import StorageBackend, open_url
from examples.negotiation import MAX_ROUNDS, NegotiationOverError, counter_offer, open_negotiation


@pytest.fixture
async def storage() -> AsyncIterator[StorageBackend]:
    async with open_url("memory://") as backend:
        await open_negotiation(backend, "qt-1", asked=22.0, floor=12.0)
        yield backend


async def test_the_seller_comes_down_step_by_step(storage: StorageBackend) -> None:
    rounds = [await counter_offer(storage, "qt-1", price) for price in (8.0, 10.0, 12.0)]
    assert [row["round_number"] for row in rounds] == [1, 2, 3]
    assert [row["seller_price"] for row in rounds] == [15.0, 12.5, 12.0]
    assert (await storage.get_negotiation("qt-1") or {})["status"] == "agreed"


async def test_it_ends_after_the_last_round(storage: StorageBackend) -> None:
    await asyncio.gather(*(counter_offer(storage, "qt-1", 1.0) for _ in range(MAX_ROUNDS)))
    for quote_id in ("qt-1", "qt-unknown"):
        with pytest.raises(NegotiationOverError, match=quote_id):
            await counter_offer(storage, quote_id, 20.0)
    stored = await storage.get_negotiation("qt-1") or {}
    assert (stored["status"], len(stored["rounds"])) == ("ended", MAX_ROUNDS)


async def test_there_is_one_for_each_quote(storage: StorageBackend) -> None:
    with pytest.raises(NegotiationOverError):
        await open_negotiation(storage, "qt-1", asked=1.0, floor=1.0)
    assert (await storage.get_negotiation("qt-1") or {})["asked"] == 22.0
