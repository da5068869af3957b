"""What tests of operations have other processes do."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from pathlib import Path
from typing import Any

from ad_seller.storage import StorageBackend, open_url
from ad_seller.storage.cli import main
from ad_seller.storage.driver import StoredEntry
from ad_seller.storage.operations import checkpoints, copy_entries, copying
from ad_seller.storage.operations.checkpoints import Checkpoint
from ad_seller.storage.operations.walking import store_page
from ad_seller.storage.sqlite_backend import SQLiteBackend
from tests.processes import do_job

#: Entries of a copy that is ended half way: more than are stored at a time.
MANY = 5_000
HALF_WAY = "half way\n"


async def filled(storage: StorageBackend, many: int) -> None:
    """Store ``deal:000000`` and so on."""
    for first in range(0, many, 2_000):
        numbers = range(first, min(many, first + 2_000))
        await storage._store_entries([StoredEntry(f"deal:{n:06}", b'{"n":%d}' % n, None) for n in numbers])


def copy(source: str, target: str, checkpoint: str) -> None:
    """Copy until it is killed half way."""
    copying._LEASE_TTL = 1  # type: ignore[misc]  # whoever goes on waits for that of the killed one

    async def work() -> None:
        async with SQLiteBackend(source) as one, SQLiteBackend(target) as other:
            await copy_entries(one, other, checkpoint=Path(checkpoint))

    _stay_half_way()
    asyncio.run(work())


def copy_killed(source: str, target: str, checkpoint: str, steps: str) -> None:
    """Copy, or go on, until so many steps are done; before the next the process is killed."""
    left = int(steps)

    def step(*_: object) -> None:
        nonlocal left
        left -= 1
        if left < 0:
            os.kill(os.getpid(), signal.SIGKILL)

    async def storing(*arguments: Any) -> int:
        step()
        stored = await store_page(*arguments)
        step()
        return stored

    async def work() -> None:
        how: dict[str, Any] = {"checkpoint": checkpoint, "resume": Path(checkpoint).exists(), "connect": True}
        async with open_url(source) as one:
            await copy_entries(one, open_url(target), progress=step, **how)

    # A checkpoint is a new file beside the old one, then takes its place.
    sys.addaudithook(lambda event, _: step() if event in ("tempfile.mkstemp", "os.rename") else None)
    checkpoints._INTERVAL = 0  # type: ignore[misc]
    copying.store_page = storing  # type: ignore[attr-defined,assignment]
    asyncio.run(work())


def command(*arguments: str) -> None:
    """Run a command that copies, until it is ended half way."""
    _stay_half_way()
    main(list(arguments))


def _stay_half_way() -> None:
    """Let a copy end nowhere but where its file first names a key; it says when it is there, and waits."""
    note = Checkpoint.note

    async def noted(self: Checkpoint, after: str | None, **how: Any) -> None:
        await note(self, after, **{**how, "now": True})
        if after is not None:
            print(HALF_WAY, end="", file=sys.stderr, flush=True)
            await asyncio.Event().wait()

    Checkpoint.note = noted  # type: ignore[method-assign]


def hold(path: str) -> None:
    """Have a store open until nobody reads any more."""

    async def work() -> None:
        async with SQLiteBackend(path) as storage:
            await storage.get("deal:1")
            print("open", flush=True)
            await asyncio.to_thread(sys.stdin.read)

    asyncio.run(work())


if __name__ == "__main__":
    do_job({"copy": copy, "copy_killed": copy_killed, "command": command, "hold": hold}, sys.argv[1:])
