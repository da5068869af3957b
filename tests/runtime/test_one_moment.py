"""Listings of any size are of one moment on SQLite and in memory: contract, section 5."""

from __future__ import annotations

import asyncio
import threading
from pathlib import Path

import pytest

from ad_seller.storage.memory_backend import MemoryBackend
from ad_seller.storage.sqlite_backend import SQLiteBackend


@pytest.mark.parametrize("kind", ["memory", "sqlite"])
async def test_a_listing_is_of_one_moment_whatever_other_threads_write(kind: str, tmp_path: Path) -> None:
    """Entries are moved, each by one commit, while keys, count, scan and filtered listings walk over them."""
    made = MemoryBackend() if kind == "memory" else SQLiteBackend(str(tmp_path / "store.db"), synchronous="NORMAL")
    async with made as store:
        await store.set_many({f"order:{number:05}": {"status": "open"} for number in range(3000)})
        stop = threading.Event()

        async def move() -> None:
            number = 0
            while not stop.is_set():
                here, there = f"order:{number % 3000:05}", f"order:{number % 3000:05}x"
                if await store.exists(here):
                    here, there = there, here
                async with store.transaction() as tx:
                    await tx.delete(there)
                    await tx.set(here, {"status": "open"})
                number += 1499

        mover = asyncio.create_task(asyncio.to_thread(asyncio.run, move()))
        try:
            for _ in range(15):
                assert len(await store.keys("order:*")) == 3000
                assert await store.count("order:*") == 3000
                assert len((await store.scan("order:*")).items) == 3000
                assert len(await store.list_orders({"status": "open"})) == 3000
        finally:
            stop.set()
            await mover
