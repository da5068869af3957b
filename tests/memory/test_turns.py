"""Reads in memory are answered at once, and still nobody who only reads keeps the event loop to himself."""

from __future__ import annotations

import asyncio

from ad_seller.storage.memory_backend import MemoryBackend


async def test_others_have_turns_while_somebody_only_reads() -> None:
    async with MemoryBackend() as store:
        await store.set("deal:1", {"n": 1})
        turns = 0

        async def count() -> None:
            nonlocal turns
            while True:
                turns += 1
                await asyncio.sleep(0)

        counting = asyncio.create_task(count())
        for _ in range(1_000):
            assert await store.get("deal:1") == {"n": 1}
        counting.cancel()
        assert turns > 10
