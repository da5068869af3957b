"""Tests of an agent's code with the fixtures of this package: run them with pytest."""

from __future__ import annotations

import asyncio
from typing import Any

from ad_seller.storage import StorageBackend, get_storage


async def make_quote(quote_id: str) -> dict[str, Any] | None:
    """Stands for code of the agent, which takes the shared storage."""
    storage = await get_storage()
    await storage.set_quote(quote_id, {"status": "available"}, ttl=3600)
    return await storage.get_quote(quote_id)


def test_a_quote_is_stored(seller_storage: StorageBackend, no_storage_left_open: None) -> None:
    assert asyncio.run(make_quote("qt-1")) == {"status": "available"}
    assert asyncio.run(seller_storage.keys()) == ["quote:qt-1"]


def test_a_quote_expires_after_an_hour(seller_storage: StorageBackend, seller_clock: Any) -> None:
    asyncio.run(make_quote("qt-1"))
    seller_clock.advance(3600)
    assert asyncio.run(seller_storage.get_quote("qt-1")) is None
