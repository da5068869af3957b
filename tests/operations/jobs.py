"""What tests of operations have other processes do."""

from __future__ import annotations

import asyncio
import sys
import time
from pathlib import Path

from ad_seller.storage import StorageBackend
from ad_seller.storage.driver import StoredEntry
from ad_seller.storage.operations import copy_entries
from ad_seller.storage.sqlite_backend import SQLiteBackend
from tests.processes import do_job

MANY = 60_000


async def filled(storage: StorageBackend, many: int) -> None:
    """Store ``deal:000000`` and so on."""
    for first in range(0, many, 2_000):
        numbers = range(first, min(many, first + 2_000))
        await storage._store_entries([StoredEntry(f"deal:{n:06}", b'{"n":%d}' % n, None) for n in numbers])


def copy(source: str, target: str, checkpoint: str) -> None:
    """Copy slowly enough to be killed half way."""

    async def work() -> None:
        async with SQLiteBackend(source) as one, SQLiteBackend(target) as other:
            await copy_entries(one, other, checkpoint=Path(checkpoint), progress=lambda seen: time.sleep(0.01))

    asyncio.run(work())


def hold(path: str) -> None:
    """Have a store open until nobody reads any more."""

    async def work() -> None:
        async with SQLiteBackend(path) as storage:
            await storage.get("deal:1")
            print("open", flush=True)
            await asyncio.to_thread(sys.stdin.read)

    asyncio.run(work())


if __name__ == "__main__":
    do_job({"copy": copy, "hold": hold}, sys.argv[1:])
