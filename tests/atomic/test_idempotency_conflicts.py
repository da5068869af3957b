"""`run_once` whose work never gets its commit through, or fails with a conflict of its own."""

from __future__ import annotations

import asyncio

import pytest

from ad_seller.storage import ConflictError, Transaction
from ad_seller.storage.atomic import idempotency
from ad_seller.storage.memory_backend import MemoryBackend
from tests.schedules.simulated import Disk
from tests.schedules.world import World, explore


async def answer(tx: Transaction) -> str:
    return "answer"


async def test_a_conflict_without_end_is_an_error_and_the_request_may_come_again(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(idempotency, "DEFAULT_ATTEMPTS", 3)
    runs = 0

    async with MemoryBackend() as store:

        async def meddle(tx: Transaction) -> None:
            nonlocal runs
            runs += 1
            seen = await tx.get("k") or 0
            await store.set("k", seen + 1)
            await tx.set("mine", seen)

        with pytest.raises(ConflictError, match="3 times in a row; nothing was written"):
            await store.run_once("scope", "key", 1, meddle)
        assert (runs, await store.get("mine")) == (3, None)
        assert await store.run_once("scope", "key", 1, answer) == "answer"


async def test_a_conflict_of_the_work_itself_is_raised_and_not_tried_again() -> None:
    runs = 0

    async def work(tx: Transaction) -> None:
        nonlocal runs
        runs += 1
        raise ConflictError("mine")

    async with MemoryBackend() as store:
        with pytest.raises(ConflictError, match=r"^mine$"):
            await store.run_once("scope", "key", 1, work)
        assert runs == 1
        assert await store.keys() == []


def test_a_claim_whose_renewal_fails_once_still_holds() -> None:
    async def scenario(world: World) -> None:
        disk = Disk(world)

        async def work(tx: Transaction) -> str:
            await tx.set("done", 1)
            disk.faults = 1.0
            await asyncio.sleep(1.5)  # the first of three renewals in the time to live fails
            disk.faults = 0.0
            await asyncio.sleep(5)
            return "answer"

        async with disk.backend(sweep_interval=None) as store:
            assert await store.run_once("scope", "key", 1, work, claim_ttl=3) == "answer"
        assert await disk.value("done") == 1

    explore(scenario, 40)
