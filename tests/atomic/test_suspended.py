"""A machine that was suspended, or a process that was stopped, while others took over: it must not go on."""

# ruff: noqa: PT012 - the end of a block raises here
from __future__ import annotations

import asyncio
import os
import signal
import time
from collections.abc import Callable

import pytest

from ad_seller.storage import Applied, LeaseLostError, NotApplied, StorageBackend, StorageTimeoutError

from .conftest import Engine
from .support import Address, workers
from .test_outbox import Shop, end_leases, shop  # noqa: F401 - a fixture

NAME = "sync:gam"

Sleeps = Callable[[float], None]


@pytest.fixture
def sleeps(monkeypatch: pytest.MonkeyPatch) -> Sleeps:
    """Suspends this machine: on Linux, CLOCK_MONOTONIC stands still, and the clock of the store does not."""
    if not hasattr(time, "CLOCK_BOOTTIME"):
        pytest.skip("this system does not count the time asleep")
    clock_gettime, asleep = time.clock_gettime, [0.0]
    monkeypatch.setattr(time, "clock_gettime", lambda clock: clock_gettime(clock) + sum(asleep))
    return asleep.append


async def test_it_holds_no_lease(backend: StorageBackend, sleeps: Sleeps) -> None:
    with pytest.raises(LeaseLostError):
        async with backend.lease(NAME, 60) as lease:
            lease.check()
            sleeps(61)
            lease.check()


async def test_it_makes_no_effect_that_another_process_has_made(
    engine: Engine, address: Address, sleeps: Sleeps
) -> None:
    """It asks the other system what became of an earlier try, and sleeps before it acts on the answer."""
    made: list[str] = []

    async def call(effect_id: str) -> int:
        made.append(effect_id)
        return len(made)

    async def never_arrives(effect_id: str) -> None:
        raise ConnectionError

    async def is_made(effect_id: str) -> Applied | NotApplied:
        return Applied(1) if made else NotApplied()

    async with address.open() as storage, address.open() as other:

        async def asked_and_slept(effect_id: str) -> Applied | NotApplied:
            found = await is_made(effect_id)
            sleeps(61)
            await storage.delete("effect_claim:gam:order")
            assert await other.effect("gam", "order", call, reconcile=is_made, claim_ttl=60) == 1
            return found

        with pytest.raises(ConnectionError):
            await storage.effect("gam", "order", never_arrives, reconcile=is_made, claim_ttl=60)
        with pytest.raises(StorageTimeoutError, match="Nothing was called"):
            await storage.effect("gam", "order", call, reconcile=asked_and_slept, claim_ttl=60)
        assert await storage.effect("gam", "order", call, reconcile=is_made, claim_ttl=60) == 1
    assert len(made) == 1


async def test_it_delivers_nothing_that_another_worker_has(shop: Shop, sleeps: Sleeps) -> None:  # noqa: F811
    for number in range(2):
        await shop.outbox.put(number, key="k")
    messages = shop.messages()
    async with await anext(messages) as first:
        assert first.value == 0
    sleeps(21)
    await end_leases(shop.storage)
    others = shop.messages()
    theirs = await anext(others)
    assert theirs.value == 1
    waiting = asyncio.ensure_future(anext(messages))
    has_looked = asyncio.ensure_future(shop.has_slept.wait())
    await asyncio.wait([waiting, has_looked], return_when=asyncio.FIRST_COMPLETED)
    assert not waiting.done()
    await others.aclose()
    assert (await waiting).value == 1
    await messages.aclose()


def test_a_stopped_holder_commits_nothing(engine: Engine, address: Address) -> None:
    with workers(1, address, "commit_late", NAME, 30) as [holder]:
        holder.go()
        [held, fence] = holder.line()
        assert held == "held"
        os.kill(holder.process.pid, signal.SIGSTOP)

        async def take_over(storage: StorageBackend) -> None:
            await storage.expire(f"lease:{NAME}", 0.1)  # rather than to wait for that
            async with storage.lease(NAME, 30, wait=20) as lease:
                assert lease.fence > fence
                holder.go()
                os.kill(holder.process.pid, signal.SIGCONT)
                assert holder.result() == "lost"
            assert await storage.get("written by") is None

        address.run(take_over)
