"""connect and disconnect while others work, under schedules: every call works or says why not, nothing hangs."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable
from functools import partial
from typing import Any

import pytest

from ad_seller.storage import Transaction
from ad_seller.storage.errors import NotConnectedError, StorageError, StoreUnavailableError
from ad_seller.storage.runtime.sessions import Sessions
from tests.schedules.simulated import Disk, SimulatedBackend
from tests.schedules.world import World, explore


async def use(world: World, store: SimulatedBackend, done: list[int], number: int) -> None:
    """Write and read; each call either works or raises `NotConnectedError`."""
    for turn in range(5):
        try:
            value = number * 100 + turn
            await store.set(f"k{number}", value)
            done.append(value)
            await store.increment("n")
            await store.transact(partial(set_one, key=f"t{number}", value=value))
            assert len(await store.keys("k*")) <= 10
        except NotConnectedError:
            await world.pause()


async def set_one(tx: Transaction, key: str, value: int) -> None:
    await tx.set(key, value)


async def reconnect(world: World, store: SimulatedBackend) -> None:
    for _ in range(3):
        await world.pause()
        await store.disconnect()
        await world.pause()
        await store.connect()


def test_while_others_work() -> None:
    async def scenario(world: World) -> None:
        disk = Disk(world)
        store = disk.backend()
        done: list[int] = []
        await store.connect()
        await world.gather(
            *(use(world, store, done, number) for number in range(4)), *(reconnect(world, store) for _ in range(2))
        )
        await store.disconnect()
        assert store.opened == store.closed
        assert store.nothing_held()
        for number in range(4):
            mine = [value for value in done if value // 100 == number]
            assert not mine or await disk.value(f"k{number}") >= mine[-1]
        assert (await disk.value("n") or 0) <= 20

    explore(scenario, 400)


def test_many_connect_at_once_and_it_opens_once() -> None:
    async def scenario(world: World) -> None:
        store = Disk(world).backend()
        await asyncio.gather(*(store.connect() for _ in range(5)))
        assert store.opened == 1
        await asyncio.gather(*(store.disconnect() for _ in range(5)))
        assert store.closed == 1

    explore(scenario, 200)


def test_an_opening_that_fails_is_not_remembered() -> None:
    async def scenario(world: World) -> None:
        disk = Disk(world, closed_doors=0.5)
        store = disk.backend()
        answers = await asyncio.gather(*(store.connect() for _ in range(6)), return_exceptions=True)
        assert {type(answer) for answer in answers} <= {type(None), StoreUnavailableError}
        assert store.opened == (None in answers)
        if store.opened:
            await store.set("k", 1)
            await store.disconnect()
            assert store.closed == 1

    explore(scenario, 200)


def test_disconnect_waits_for_what_is_under_way() -> None:
    """What was called before `disconnect` has its answer, and what comes after it is refused."""

    async def scenario(world: World) -> None:
        disk = Disk(world)
        store = disk.backend()
        await store.connect()
        started = 0

        async def call(work: Awaitable[Any]) -> Any:
            nonlocal started
            started += 1
            return await work

        kinds = (store.set("a", 1), store.get("a"), store.ttl("b"), store.scan("*"), store.delete_many(["c", "d"]))
        calls = [asyncio.ensure_future(call(work)) for work in kinds]
        await world.until(lambda: started == len(calls))
        await store.disconnect()
        answers = await asyncio.gather(*calls, return_exceptions=True)
        assert not [answer for answer in answers if isinstance(answer, NotConnectedError)]
        assert await disk.value("a") == 1

    explore(scenario, 200)


def test_errors_of_the_store_are_ours_whatever_happens() -> None:
    async def scenario(world: World) -> None:
        disk = Disk(world, faults=0.3, slow=0.1, closed_doors=0.2)
        store = disk.backend(timeout=0.1)

        async def live(number: int) -> None:
            for _ in range(6):
                try:
                    await world.chance.choice((store.connect, store.disconnect, lambda: store.increment("n")))()
                except StorageError:
                    await world.pause()

        await world.gather(*map(live, range(6)))
        await store.disconnect()
        assert store.opened == store.closed
        assert store.nothing_held()

    explore(scenario, 400)


def test_these_checks_find_a_defect(monkeypatch: pytest.MonkeyPatch) -> None:
    """connect and disconnect that do not wait for each other."""
    monkeypatch.setattr(Sessions, "_gate", lambda self: asyncio.Lock())
    for test in (test_many_connect_at_once_and_it_opens_once, test_while_others_work):
        with pytest.raises(AssertionError, match="SCHEDULE_SEED"):
            test()
