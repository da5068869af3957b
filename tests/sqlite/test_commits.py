"""What the statements make of batches, against the plain meaning, up to the instant of expiry."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from ad_seller.storage.sqlite_backend import SQLiteBackend
from ad_seller.storage.testing.conformance.rows import rows
from tests.clock import SetClock
from tests.random_commits import BETWEEN_BATCHES, check_batches


@pytest.fixture
def clock() -> SetClock:
    return SetClock()


@pytest.fixture
async def storage(path: Path, clock: SetClock) -> AsyncIterator[SQLiteBackend]:
    async with SQLiteBackend(str(path), clock=clock, synchronous="NORMAL", sweep_interval=None) as storage:
        yield storage


@rows("seed", range(60))
async def test_any_batch_means_what_it_means_in_memory(storage: SQLiteBackend, clock: SetClock, seed: int) -> None:
    async def between() -> None:
        clock.now += BETWEEN_BATCHES

    ttls = (None, None, 1000 * BETWEEN_BATCHES, 3_600_000)  # one ends at the instant of the next batch
    await check_batches(storage, clock, seed, between, ttls)


async def test_a_write_needs_no_task(store: SQLiteBackend) -> None:
    """The thread answers the callers itself: a task and a turn of the event loop cost as much as a statement."""
    loop = asyncio.get_running_loop()
    made: list[str] = []

    def count(loop: asyncio.AbstractEventLoop, work: Any, **more: Any) -> asyncio.Task[Any]:
        made.append(repr(work))
        return asyncio.Task(work, loop=loop, **more)

    loop.set_task_factory(count)
    try:
        await store.set("key", 1)
        await store.delete("key")
    finally:
        loop.set_task_factory(None)
    assert made == []
