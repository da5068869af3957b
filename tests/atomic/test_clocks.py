"""A clock that is set back: claims and leases still end within their own time to live."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from ad_seller.storage import LeaseHeldError, StorageBackend, encode
from ad_seller.storage.memory_backend import MemoryBackend
from ad_seller.storage.sqlite_backend import SQLiteBackend
from tests.clock import SetClock

HOUR = 3600.0


@pytest.fixture(params=["memory", "sqlite"])
def open_store(request: pytest.FixtureRequest, tmp_path: Path) -> Callable[[SetClock], StorageBackend]:
    """Opens a store on a clock."""
    if request.param == "memory":
        return lambda clock: MemoryBackend(clock=clock)
    return lambda clock: SQLiteBackend(f"sqlite:///{tmp_path}/store.db", clock=clock)


@pytest.mark.parametrize("record", [{"holder": "dead", "fence": 1, "ttl_ms": 1000}, {"holder": "dead", "fence": 1}])
async def test_the_lease_of_a_dead_holder(open_store: Any, record: dict[str, Any]) -> None:
    clock = SetClock()
    async with open_store(clock) as store:
        await store.set("lease:sync", record, ttl=1 + HOUR)  # as seen by who came after the clock was set back
        await store.set("lease_fence:sync", 1)
        assert await store.ttl("lease:sync") > HOUR - 1
        with pytest.raises(LeaseHeldError):
            async with store.lease("sync", 1):
                pass
        assert await store.ttl("lease:sync") <= 1
        clock.now += 1
        async with store.lease("sync", 1) as lease:
            assert lease.fence > 1


async def test_the_claim_of_a_dead_process(open_store: Any) -> None:
    clock = SetClock()

    async def work(tx: Any) -> str:
        return "done"

    async with open_store(clock) as store:
        await store.run_once("scope", "probe", 1, work)
        digest = (await store.get("idempotency:scope:probe"))["request"]
        await store.delete("idempotency:scope:probe")
        await store.set("idempotency:scope:probe", {"request": digest, "claim": "of a dead process"}, ttl=10 + HOUR)
        running = asyncio.create_task(store.run_once("scope", "probe", 1, work))
        while await store.ttl("idempotency:scope:probe") > 10:  # noqa: ASYNC110 - nothing tells
            await asyncio.sleep(0.01)
        clock.now += 10
        assert await asyncio.wait_for(running, 20) == "done"


async def test_the_lane_of_a_dead_worker(open_store: Any) -> None:
    clock = SetClock()
    async with open_store(clock) as store:
        await store.outbox("hooks").put("x", key="a")
        messages = store.outbox("hooks").work(lease=10)
        await anext(messages)
        [lane] = await store.keys("outbox_lane:*")
        dead = await store.get(lane)
        await messages.aclose()
        await store.set(lane, dead, ttl=10 + HOUR)
        others = store.outbox("hooks").work(lease=30, idle=0.02)
        waiting = asyncio.ensure_future(anext(others))
        while await store.ttl(lane) > 10:  # noqa: ASYNC110 - nothing tells
            await asyncio.sleep(0.01)
        clock.now += 10
        assert (await asyncio.wait_for(waiting, 20)).value == "x"
        await others.aclose()


async def test_a_lease_that_is_held_is_left_alone(open_store: Any) -> None:
    async with open_store(SetClock()) as store, store.lease("sync", 30):
        text = encode(await store.get("lease:sync"))
        with pytest.raises(LeaseHeldError):
            async with store.lease("sync", 1):
                pass
        assert encode(await store.get("lease:sync")) == text
        assert await store.ttl("lease:sync") > 20
