"""Reads in memory are answered at once, and still nobody who only reads keeps the event loop to himself."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from ad_seller.storage.memory_backend import MemoryBackend


@pytest.mark.parametrize(("value", "least"), [({"n": 1}, 10), ("x" * 100_000, 450)], ids=["small", "large"])
async def test_others_have_turns_while_somebody_only_reads(value: Any, least: int) -> None:
    """The larger what is read and decoded, the more often."""
    async with MemoryBackend() as store:
        await store.set("deal:1", value)
        turns = 0

        async def count() -> None:
            nonlocal turns
            while True:
                turns += 1
                await asyncio.sleep(0)

        counting = asyncio.create_task(count())
        for _ in range(1_000):
            assert await store.get("deal:1") == value
        counting.cancel()
        assert turns > least
