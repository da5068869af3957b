"""Leases under schedules: one holder at a time, growing fences, renewal, and a loss that is told."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from itertools import pairwise
from typing import NamedTuple

import pytest

from ad_seller.storage import Transaction
from ad_seller.storage.errors import LeaseHeldError, LeaseLostError, StorageError
from tests.atomic.support import cancelled_at
from tests.schedules.several import hangs, processes
from tests.schedules.simulated import Disk, SimulatedBackend
from tests.schedules.test_cancellation import at_each_await
from tests.schedules.world import World, explore

TTL = 0.4


class Hold(NamedTuple):
    """A block that ran with the lease, and whether it was told of a loss."""

    fence: int
    start: float
    end: float
    lost: bool


async def hold(world: World, store: SimulatedBackend, holds: list[Hold], *, wait: float, work: float) -> None:
    """Take the lease, work, and note it; what cannot be had is left."""
    fence, start, end = 0, 0.0, 0.0
    lost = False
    try:
        async with store.lease("l", TTL, wait=wait) as lease:
            fence, start = lease.fence, world.loop.time()
            try:
                await asyncio.sleep(work * world.chance.random())
            finally:
                end = world.loop.time()
    except LeaseLostError:
        lost = True
    except StorageError:
        if not fence:
            return
    finally:
        if fence:
            holds.append(Hold(fence, start, end, lost))


def check(holds: list[Hold]) -> None:
    """No two blocks ran at the same time, but for those that were told so, within a time to live."""
    assert len({hold.fence for hold in holds}) == len(holds)
    ordered = sorted(holds, key=lambda hold: hold.fence)
    for one, other in pairwise(ordered):
        assert one.start <= other.start, "a later holder has a larger fence"
        assert one.end <= other.start + 1e-9 or one.lost, f"{one} and {other} at the same time"


async def crowd(world: World, disk: Disk, *, share: float = 0.3) -> list[Hold]:
    stores = [disk.backend(sweep_interval=None, timeout=0.1) for _ in range(2)]
    holds: list[Hold] = []
    for store in stores:
        await store.connect()
    tasks = [
        asyncio.ensure_future(hold(world, world.chance.choice(stores), holds, wait=4, work=0.5)) for _ in range(3)
    ]
    world.cancel_some(tasks, share)
    await world.gather(*tasks)
    for store in stores:
        await store.let_go()
    return holds


def test_one_holder_at_a_time() -> None:
    async def scenario(world: World) -> None:
        disk = Disk(world)
        holds = await crowd(world, disk)
        assert not any(hold.lost for hold in holds)
        check(holds)
        assert await disk.value("lease:l") is None, "given up at the end"

    explore(scenario, 300)


def test_also_when_the_store_fails_now_and_then() -> None:
    async def scenario(world: World) -> None:
        check(await crowd(world, Disk(world, faults=0.2, slow=0.05)))

    explore(scenario, 300)


def test_everyone_who_waits_long_enough_gets_it() -> None:
    async def scenario(world: World) -> None:
        assert len(await crowd(world, Disk(world), share=0)) == 3

    explore(scenario, 100)


def test_it_is_renewed_as_long_as_the_block_runs() -> None:
    async def scenario(world: World) -> None:
        disk = Disk(world)
        async with disk.backend() as store, disk.backend() as other, store.lease("l", TTL):
            for _ in range(5):
                await asyncio.sleep(TTL * world.chance.random())
                with pytest.raises(LeaseHeldError):
                    async with other.lease("l", TTL):
                        raise AssertionError("two holders")

    explore(scenario, 150)


def test_a_holder_whose_store_is_gone_is_stopped_before_another_can_have_it() -> None:
    async def scenario(world: World) -> None:
        disk = Disk(world)
        async with disk.backend(timeout=0.1) as store, disk.backend() as other:
            stopped = 0.0

            async def work() -> None:
                nonlocal stopped
                async with store.lease("l", TTL):
                    store.frozen = True
                    try:
                        await asyncio.sleep(3600)
                    finally:
                        stopped = world.loop.time()
                        store.frozen = False

            with pytest.raises(LeaseLostError):
                await work()
            async with other.lease("l", TTL, wait=10):
                assert world.loop.time() >= stopped
            assert stopped <= TTL + 0.1 or not world.loop.punctual

    explore(scenario, 150)


def test_a_block_does_not_begin_with_a_lease_that_is_over_already() -> None:
    async def once(world: World, step: int) -> bool:
        disk = Disk(world)
        async with processes(disk, timeout=TTL * 5) as [hanging, other]:
            thaws: list[asyncio.TimerHandle] = []

            def told() -> None:
                seconds = TTL * world.chance.choice((0.5, 1, 1.5))
                thaws.append(world.loop.call_later(seconds, setattr, hanging, "frozen", False))

            async def work() -> None:
                with suppress(LeaseLostError):
                    async with hanging.lease("l", TTL) as lease:
                        assert lease.held

            reached = await cancelled_at(work(), step, hangs(hanging, told))
            for thaw in thaws:
                thaw.cancel()
            hanging.frozen = False
            async with other.lease("l", TTL, wait=10) as lease:
                assert lease.held
        return reached

    at_each_await(once, 15)


def test_a_replaced_holder_writes_nothing() -> None:
    async def scenario(world: World) -> None:
        disk = Disk(world)
        fences: list[int] = []
        async with disk.backend() as store, disk.backend() as other:

            async def write(tx: Transaction) -> None:
                await tx.hold(lease)
                await tx.set("k", "by the first")
                await other.delete("lease:l")
                async with other.lease("l", TTL) as another:
                    fences.append(another.fence)
                    await world.pause()

            with pytest.raises(LeaseLostError):
                async with store.lease("l", TTL) as lease:
                    await store.transact(write)
        assert await disk.value("k") is None
        assert [await disk.value("lease_fence:l")] == fences

    explore(scenario, 150)


def test_these_checks_find_a_defect(monkeypatch: pytest.MonkeyPatch) -> None:
    """A lease that is never renewed, and does not notice."""

    async def never(self: object) -> None:
        await asyncio.sleep(3600)

    monkeypatch.setattr("ad_seller.storage.atomic.lease.Lease._renew", never)
    with pytest.raises(AssertionError, match="SCHEDULE_SEED"):
        test_one_holder_at_a_time()
