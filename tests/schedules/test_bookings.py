"""Requests of several effects, a deal and a message: whole, whoever fails, is cancelled or dies when."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from ad_seller.storage import StorageError, Transaction
from tests.atomic.support import MOMENTS, Moment, cancelled_at
from tests.schedules.several import dies, processes
from tests.schedules.simulated import Disk, SimulatedBackend
from tests.schedules.test_cancellation import at_each_await
from tests.schedules.test_effects import CLAIM_TTL, Ads, claim_may_end, nobody_is_kept_waiting
from tests.schedules.world import World, explore


class Bookings:
    """A request of orders, a deal and a message that tells of it.

    Args:
        world: where chance comes from.
        lost: the share of calls to the other systems that fail.
        orders: how many.
    """

    def __init__(self, world: World, lost: float = 0.0, orders: int = 2) -> None:
        self.world = world
        self.disk = Disk(world)
        self.systems = [Ads(world, lost) for _ in range(orders)]

    @property
    def made(self) -> list[int]:
        """The numbers of the orders, each the first of its system."""
        return [1] * len(self.systems)

    async def work(self, store: SimulatedBackend, tx: Transaction) -> Any:
        orders = []
        for number, ads in enumerate(self.systems):
            assert all(system.made for system in self.systems[:number]), "in their order"
            orders.append(await ads.order(store, f"k-{number}"))
        await tx.update("deals", lambda deals: [*(deals or []), orders])
        await tx.outbox("hooks").put(orders, key="buyer")
        return orders

    async def send(self, store: SimulatedBackend) -> Any:
        return await store.run_once("s", "k", 1, lambda tx: self.work(store, tx), claim_ttl=CLAIM_TTL)

    async def persist(self, store: SimulatedBackend) -> Any:
        """Ask until there is an answer, as a buyer does."""
        for _ in range(200):
            try:
                return await self.send(store)
            except (StorageError, ConnectionError):
                await asyncio.sleep(self.world.chance.random())
        raise AssertionError("there was never an answer")

    async def check(self) -> None:
        assert [len(ads.made) for ads in self.systems] == self.made
        assert await self.disk.value("deals") == [self.made]
        assert sum(key.startswith("outbox:") for key in self.disk.entries) == 1


def test_several_effects_of_a_request() -> None:
    """Each is made once and in its order, whichever of the two processes gets how far."""

    async def scenario(world: World) -> None:
        bookings = Bookings(world, 0.3)
        async with processes(bookings.disk) as stores:
            tasks = [asyncio.ensure_future(bookings.persist(store)) for store in stores]
            world.cancel_some(tasks, 0.3)
            await world.gather(*tasks)
            assert await bookings.persist(stores[0]) == bookings.made
        await bookings.check()

    explore(scenario, 200)


@pytest.mark.parametrize("orders", [1, 2])
@pytest.mark.parametrize("moment", MOMENTS, ids=lambda moment: str(moment.__name__))
def test_a_request_cancelled_at_each_await(moment: Moment, orders: int) -> None:
    """The repeat comes from another process; what was made of an order, it learns by asking."""

    async def once(world: World, step: int) -> bool:
        bookings = Bookings(world, orders=orders)
        async with processes(bookings.disk) as [cancelled, other]:
            reached = await cancelled_at(bookings.send(cancelled), step, moment)
            assert nobody_is_kept_waiting(bookings.disk)
            assert await bookings.send(other) == bookings.made
        await bookings.check()
        return reached

    at_each_await(once, 15 if orders == 1 else 4)


@pytest.mark.parametrize("orders", [1, 2])
def test_a_request_whose_process_dies_at_each_await(orders: int) -> None:
    async def once(world: World, step: int) -> bool:
        bookings = Bookings(world, orders=orders)
        async with processes(bookings.disk, timeout=0.1) as [dying, other]:
            reached = await cancelled_at(bookings.send(dying), step, dies(dying))
            await claim_may_end(world)
            assert await bookings.send(other) == bookings.made
            dying.frozen = False
        await bookings.check()
        return reached

    at_each_await(once, 15 if orders == 1 else 4)
