"""What the statements make of batches, against the plain meaning, up to the instant of expiry."""

from __future__ import annotations

from pathlib import Path

import pytest

from ad_seller.storage.sqlite_backend import SQLiteBackend
from tests.clock import SetClock
from tests.random_commits import BETWEEN_BATCHES, check_batches


@pytest.mark.parametrize("seed", range(60))
async def test_any_batch_means_what_it_means_in_memory(path: Path, seed: int) -> None:
    clock = SetClock()

    async def between() -> None:
        clock.now += BETWEEN_BATCHES

    ttls = (None, None, 1000 * BETWEEN_BATCHES, 3_600_000)  # one ends at the instant of the next batch
    async with SQLiteBackend(str(path), clock=clock, synchronous="NORMAL", sweep_interval=None) as storage:
        await check_batches(storage, clock, seed, between, ttls)
