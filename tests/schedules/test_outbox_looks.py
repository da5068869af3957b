"""What workers of an outbox cost the store while there is nothing for them to do."""

from __future__ import annotations

import asyncio

import pytest

from ad_seller.storage.seller.outbox_entries import lane_of
from tests.schedules.several import processes
from tests.schedules.simulated import Disk
from tests.schedules.test_outbox import FORM, LEASE, Receiver
from tests.schedules.world import World, explore


@pytest.mark.parametrize(("held", "calls"), [(False, 1), (True, 3)])
def test_what_a_look_costs(held: bool, calls: int) -> None:
    """One read where nothing waits; where another worker has the lane, nobody writes a claim in vain."""

    async def scenario(world: World) -> None:
        disk = Disk(world)
        receiver = Receiver(world, disk)
        async with processes(disk, 1) as [store]:
            if held:
                await store.outbox("hooks").put(1, "h")
                await store.set(FORM.lane_key(lane_of("h")), {"claim": "of another", "ttl_ms": 60_000}, 60)
            worker = asyncio.ensure_future(receiver.work(store))
            await asyncio.sleep(5)
            before, written = disk.calls, store.stats().writes
            await asyncio.sleep(10 * LEASE)
            assert disk.calls - before <= 40 * calls
            assert store.stats().writes == written
            worker.cancel()
            await asyncio.wait([worker])

    explore(scenario, 20)
