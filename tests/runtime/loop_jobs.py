"""Jobs in event loops of their own, on one backend."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Awaitable, Callable, Sequence
from typing import Any

import uvloop

from ad_seller.storage.base import StorageBackend

Run = Callable[[Any], Any]

#: How an event loop is made, used and closed.
RUNNERS: dict[str, Run] = {"asyncio": asyncio.run, "uvloop": uvloop.run}


def in_threads(run: Run, jobs: Sequence[Callable[[], Awaitable[None]]]) -> None:
    """Run each job in a thread with an event loop of its own, all at once; raise what the first of them raised."""
    failures: list[BaseException] = []

    async def as_coroutine(job: Callable[[], Awaitable[None]]) -> None:
        await job()

    def work(job: Callable[[], Awaitable[None]]) -> None:
        try:
            run(as_coroutine(job))
        except BaseException as error:
            failures.append(error)

    threads = [threading.Thread(target=work, args=(job,)) for job in jobs]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(100)
        assert not thread.is_alive(), "a thread hangs"
    if failures:
        raise failures[0]


async def count_up(store: StorageBackend, times: int) -> None:
    for _ in range(times):
        await store.increment("counter")


async def transfer(store: StorageBackend, times: int) -> None:
    """Move 1 from an account to another, in transactions."""
    for _ in range(times):

        async def move(tx: Any) -> None:
            left, right = await tx.get("left"), await tx.get("right")
            await tx.set("left", left - 1)
            await tx.set("right", right + 1)

        await store.transact(move, attempts=1_000)
