"""Sweeping under schedules: what has expired goes, what lives stays, and no failure ends it."""

from __future__ import annotations

import asyncio
from contextlib import suppress

import pytest

from ad_seller.storage.driver import engine
from ad_seller.storage.driver.commit import Commit, Put
from ad_seller.storage.errors import StorageError
from ad_seller.storage.runtime import sweeper
from ad_seller.storage.runtime.sweeper import Sweeper, sweep_all
from tests.schedules.simulated import Disk, SimulatedBackend
from tests.schedules.world import World, explore

INTERVAL = 10.0


@pytest.fixture(autouse=True)
def few_rows_a_step(monkeypatch: pytest.MonkeyPatch) -> None:
    for module in (sweeper, engine):
        monkeypatch.setattr(module, "SWEEP_ROWS", 2)


async def write_and_look(world: World, store: SimulatedBackend, number: int) -> None:
    """Give entries a time to live again and again; they are there until it has passed, and not after."""
    key = f"k{number}"
    for _ in range(2):
        ttl = world.chance.choice((1.0, 9.999, 10.0, 25.0))
        try:
            await store.set(key, number, ttl)
        except StorageError:
            continue
        written = world.clock()
        await asyncio.sleep(ttl * world.chance.choice((0.1, 0.9, 0.999, 1.0, 1.5)))
        asked = world.clock()
        try:
            found = await store.get(key)
        except StorageError:
            continue
        assert found in (None, number)
        if found is None:
            assert world.clock() >= written + ttl - 1, "gone too early"
        else:
            assert asked < written + ttl, "there after its time"


@pytest.mark.parametrize("faults", [0.0, 0.3])
def test_what_expired_goes_and_what_lives_stays(faults: float) -> None:
    async def scenario(world: World) -> None:
        disk = Disk(world, faults=faults)
        stores = [disk.backend(sweep_interval=INTERVAL) for _ in range(2)]
        for store in stores:
            await store.connect()
        await disk.store.apply([Commit((), (Put("for ever", b"1"),))])
        jobs = (write_and_look(world, world.chance.choice(stores), number) for number in range(4))
        await world.gather(*jobs)
        await asyncio.sleep(25)
        disk.faults = 0.0
        await asyncio.sleep(2 * INTERVAL)
        assert list(disk.entries) == ["for ever"]
        for store in stores:
            await store.disconnect()

    explore(scenario, 150)


def test_it_goes_on_after_failures() -> None:
    async def scenario(world: World) -> None:
        disk = Disk(world)
        async with disk.backend(sweep_interval=INTERVAL) as store:
            for number in range(5):
                await store.set(f"k{number}", 1, 1)
            disk.faults = 1.0
            await asyncio.sleep(3 * INTERVAL)
            disk.faults = 0.0
            before = store.swept
            await asyncio.sleep(3 * INTERVAL)
            assert store.swept >= before
            assert not disk.entries

    explore(scenario, 150)


def test_it_ends_with_the_connection_and_begins_anew() -> None:
    async def scenario(world: World) -> None:
        disk = Disk(world)
        store = disk.backend(sweep_interval=INTERVAL)
        for _ in range(3):
            await store.connect()
            await store.set("k", 1, 1)
            await asyncio.sleep(INTERVAL * 3 * world.chance.random())
            await store.disconnect()
            calls = disk.calls
            await asyncio.sleep(3 * INTERVAL)
            assert disk.calls == calls

    explore(scenario, 150)


def test_these_checks_find_a_defect(monkeypatch: pytest.MonkeyPatch) -> None:
    """A sweeper that ends with its first failure."""

    async def one_round(self: Sweeper) -> None:
        with suppress(Exception):
            await sweep_all(self._engine)
            self._task = None
            self._wait()

    monkeypatch.setattr(Sweeper, "_round", one_round)
    with pytest.raises(AssertionError, match="SCHEDULE_SEED"):
        test_it_goes_on_after_failures()
    with pytest.raises(AssertionError, match="SCHEDULE_SEED"):
        test_what_expired_goes_and_what_lives_stays(0.3)
