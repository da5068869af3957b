"""What a write sees that had to wait for another program's lock."""

from __future__ import annotations

import asyncio
from pathlib import Path

from ad_seller.storage.sqlite_backend import SQLiteBackend

from .support import plain


async def test_what_expires_during_the_wait_for_the_lock_is_gone(path: Path) -> None:
    now = 1_000.0
    async with SQLiteBackend(str(path), clock=lambda: now) as storage:
        await storage.set("a", 1, ttl=10)
        with plain(path) as other:
            other.execute("BEGIN IMMEDIATE")
            creating = asyncio.create_task(storage.create("a", 2))
            await asyncio.sleep(0.05)  # it waits
            now += 20
            other.execute("COMMIT")
        assert await creating
        assert await storage.get("a") == 2
