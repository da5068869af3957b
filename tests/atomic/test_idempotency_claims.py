"""The claim of `run_once`: kept while the work runs, ended with its process, refused when it was lost."""

from __future__ import annotations

import asyncio
import time

from ad_seller.storage import (
    StorageBackend,
    Transaction,
)

from .conftest import Engine
from .support import Address, renewed
from .test_idempotency import RECORD, Booking, send


class TestClaim:
    async def test_is_kept_while_work_takes_longer(self, backend: StorageBackend) -> None:
        runs = 0

        async def work(tx: Transaction) -> int:
            nonlocal runs
            runs += 1
            await renewed(backend, RECORD)
            return runs

        answers = await asyncio.gather(*(send(backend, work, claim_ttl=1.5) for _ in range(2)))
        assert (answers, runs) == ([1, 1], 1)

    async def test_work_that_holds_up_the_event_loop_ends(self, backend: StorageBackend) -> None:
        runs = 0

        async def work(tx: Transaction) -> int:
            nonlocal runs
            runs += 1
            await tx.set("a", runs)
            time.sleep(0.15)
            return runs

        async with asyncio.timeout(20):
            assert await send(backend, work, claim_ttl=0.05) == runs
        assert runs == 1

    async def test_of_a_dead_process_ends(self, backend: StorageBackend) -> None:
        """Its claim is as it would leave it; another one takes over when its time is up, not before."""
        stop = asyncio.create_task(send(backend, Booking(60), claim_ttl=0.3))
        while not await backend.exists(RECORD):
            pass
        claim = await backend.get(RECORD)
        stop.cancel()
        await asyncio.wait([stop])
        assert not await backend.exists(RECORD)
        await backend.set(RECORD, claim)
        began = time.monotonic()
        await backend.expire(RECORD, 0.3)
        assert await send(backend, Booking()) == {"deal_id": "d-1"}
        assert 0.29 < time.monotonic() - began < 5

    async def test_whoever_lost_it_writes_nothing(self, engine: Engine, address: Address) -> None:
        """Frozen for longer than its claim lasts, the first comes back and gives the other one's answer."""
        claimed, replaced = asyncio.Event(), asyncio.Event()

        async def slow(tx: Transaction) -> str:
            await tx.set("by", "first")
            claimed.set()
            await replaced.wait()
            return "first"

        async def quick(tx: Transaction) -> str:
            await tx.set("by", "second")
            return "second"

        async with address.open() as first, address.open() as second:
            answer = asyncio.create_task(send(first, slow, claim_ttl=60))
            await claimed.wait()
            await second.delete(RECORD)  # as if its time were up
            assert await send(second, quick) == "second"
            replaced.set()
            assert await answer == "second"
            assert await first.get("by") == "second"
