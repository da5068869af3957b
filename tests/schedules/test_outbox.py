"""Outboxes under schedules: each message at least once, with one worker at a time, in order, whoever ends when."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable
from contextlib import aclosing, suppress
from typing import NamedTuple

import pytest

from ad_seller.storage import Message, Outbox, StorageError, Transaction
from ad_seller.storage.seller.outbox_entries import OutboxForm
from tests.atomic.support import MOMENTS, Moment, cancel_during, cancelled_at
from tests.defects import DEFECTS
from tests.schedules.simulated import Disk, SimulatedBackend, dies, processes
from tests.schedules.test_cancellation import at_each_await
from tests.schedules.world import World, explore

FORM = OutboxForm.of("hooks")
LEASE = 0.4  #: seconds
LATE = LEASE / 2 + 0.04  #: seconds of a lease that may be gone when a message is given: answers take time
KEYS = ("h", "h", "q")  #: of the messages that are put, in order; they share a lane


class Hand(NamedTuple):
    """A message in the hand of a worker, since when, and whether for longer than its lease."""

    id: str
    key: str | None
    start: float
    hangs: bool


class Receiver:
    """Where messages are delivered to; it knows what each worker has in hand, and what waits.

    Args:
        world: where chance and time come from.
        disk: where the messages wait.
        failing: the share of deliveries that raise.
        hanging: the share that takes longer than the lease.
    """

    def __init__(self, world: World, disk: Disk, *, failing: float = 0.0, hanging: float = 0.0) -> None:
        self.world = world
        self.disk = disk
        self.failing = failing
        self.hanging = hanging
        self.given: Counter[str] = Counter()
        self.acknowledged: list[str] = []
        self._puts: dict[str, tuple[int, str | None]] = {}
        self._hands: list[Hand] = []
        self._open = 0

    @property
    def waiting(self) -> list[str]:
        """The ids of what waits."""
        return [key.rpartition(":")[2] for key in self.disk.entries if key.startswith(FORM.prefix)]

    async def put(self, store: SimulatedBackend) -> None:
        """Put the messages one after the other, each with the deal that it tells of."""
        alone = (None,) if self.world.chance.random() < 0.2 else ()
        for number, key in enumerate((*KEYS, *alone)):

            async def deal(tx: Transaction, number: int = number, key: str | None = key) -> None:
                await tx.set(f"deal:{number}", number)
                self._puts[await tx.outbox("hooks").put(number, key)] = (number, key)

            with suppress(StorageError):
                await store.transact(deal)

    async def work(self, store: SimulatedBackend, *, to_the_end: bool = False) -> None:
        """Deliver, for ever or until nothing waits."""
        outbox = Outbox(store, FORM, self.world.clock)
        terms = {"lease": LEASE, "first_pause": 0.1, "longest_pause": 0.2, "idle": 0.1}
        async with aclosing(outbox.work(**terms)) as messages:
            async for message in messages:
                await self.take(message)
                if to_the_end and not self.waiting:
                    return

    async def take(self, message: Message) -> None:
        """Deliver a message; nobody else may have it, or one of its key."""
        chance = self.world.chance
        hand = Hand(message.id, message.key, self.world.loop.time(), chance.random() < self.hanging)
        self._check(hand)
        self.given[hand.id] = turn = self.given[hand.id] + 1
        self._hands.append(hand)
        self._open += 1
        try:
            async with message:
                await self._deliver(hand)
        finally:
            self._open -= 1
            if message.is_delivered:
                assert self.given[hand.id] == turn, "who was replaced is not believed"
                self.acknowledged.append(hand.id)

    async def _deliver(self, hand: Hand) -> None:
        try:
            if hand.hangs:
                await asyncio.sleep(LEASE * self.world.chance.choice((1, 1.5, 3)))
            elif self.world.chance.random() < 0.2:
                await asyncio.sleep(LEASE / 3)
            else:
                await self.world.pause()
        finally:
            self._hands.remove(hand)
        if self.world.chance.random() < self.failing:
            raise ConnectionResetError

    def _check(self, hand: Hand) -> None:
        assert hand.id not in self.acknowledged, "it was acknowledged"
        for other in self._hands:
            if other.id == hand.id or None is not other.key == hand.key:
                assert other.hangs, f"{other} and {hand} at the same time"
                assert hand.start >= other.start + LEASE - LATE, f"{other} and {hand} within one lease"
        if hand.key is not None:
            before = [one for one in self.waiting if one < hand.id and self._puts[one][1] == hand.key]
            assert not before, f"{hand} before {before}"

    async def all_done(self) -> None:
        """Wait until nothing waits any more, and whoever delivered knows."""
        async with asyncio.timeout(600):
            while self.waiting or self._open:  # noqa: ASYNC110 - nothing tells
                await asyncio.sleep(0.05)

    def check(self) -> None:
        """Each deal was told of under one id, and acknowledged once at most; nothing is left."""
        deals = sorted(int(key.removeprefix("deal:")) for key in self.disk.entries if key.startswith("deal:"))
        assert sorted(self._puts[one][0] for one in self.given) == deals
        assert len(set(self.acknowledged)) == len(self.acknowledged)
        assert not self.waiting


async def no_lane_is_held(store: SimulatedBackend) -> None:
    assert not await store.keys("outbox_lane:*"), "nobody is kept waiting"


@pytest.mark.parametrize(
    ("failing", "hanging", "faults"), [(0.0, 0.0, 0.0), (0.3, 0.0, 0.0), (0.0, 0.3, 0.0), (0.2, 0.1, 0.15)]
)
def test_at_least_once_by_one_worker_at_a_time_in_order(failing: float, hanging: float, faults: float) -> None:
    async def scenario(world: World) -> None:
        disk = Disk(world, faults=faults)
        receiver = Receiver(world, disk, failing=failing, hanging=hanging)
        async with processes(disk, timeout=0.1) as stores:
            putting = asyncio.ensure_future(receiver.put(stores[0]))
            workers = [asyncio.ensure_future(receiver.work(store)) for store in stores]
            world.cancel_some(workers[1:], 0.3)
            await putting
            await receiver.all_done()
            was_cancelled = workers[1].done()
            for worker in workers:
                worker.cancel()
            await world.gather(*workers)
            disk.faults = 0.0
            receiver.check()
            if not faults:
                await no_lane_is_held(stores[0])
                assert was_cancelled or sorted(receiver.acknowledged) == sorted(receiver.given)

    explore(scenario, 90)


def test_a_worker_whose_store_hangs_delivers_nothing_that_another_one_has() -> None:
    async def scenario(world: World) -> None:
        disk = Disk(world)
        receiver = Receiver(world, disk)
        async with processes(disk, timeout=0.3) as [hanging, other]:
            await receiver.put(hanging)
            workers = [asyncio.ensure_future(receiver.work(store)) for store in (hanging, other)]
            await asyncio.sleep(world.chance.choice((0, 0.0001, 0.001, 0.003, 0.01, 0.03)))
            hanging.frozen = True
            await asyncio.sleep(LEASE * world.chance.choice((0.5, 1, 1.5, 3)))
            hanging.frozen = False
            await receiver.all_done()
            for worker in workers:
                worker.cancel()
            await world.gather(*workers)
            receiver.check()

    explore(scenario, 600)


@pytest.mark.parametrize("moment", MOMENTS, ids=lambda moment: str(moment.__name__))
def test_cancelled_at_each_await(moment: Moment) -> None:
    async def once(world: World, step: int) -> bool:
        disk = Disk(world)
        receiver = Receiver(world, disk)
        async with disk.backend(sweep_interval=None) as store:
            await receiver.put(store)
            reached = await cancelled_at(receiver.work(store, to_the_end=True), step, moment)
            await no_lane_is_held(store)
            if receiver.waiting:
                await receiver.work(store, to_the_end=True)
            receiver.check()
        assert store.nothing_held()
        return reached

    at_each_await(once, 3)


def test_a_process_that_dies_at_each_await_is_followed_by_another() -> None:
    async def once(world: World, step: int) -> bool:
        disk = Disk(world)
        receiver = Receiver(world, disk)
        async with processes(disk, timeout=0.1) as [dying, other]:
            await receiver.put(other)
            reached = await cancelled_at(receiver.work(dying, to_the_end=True), step, dies(dying))
            if receiver.waiting:
                await receiver.work(other, to_the_end=True)
            dying.frozen = False
            receiver.check()
        return reached

    at_each_await(once, 3)


class TestTheChecksFindDefects:
    @pytest.mark.parametrize(
        ("name", "check"),
        [
            ("late-acknowledgement", lambda: test_at_least_once_by_one_worker_at_a_time_in_order(0.0, 0.3, 0.0)),
            ("leased-to-two", lambda: test_at_least_once_by_one_worker_at_a_time_in_order(0.0, 0.0, 0.0)),
            ("old-lease", test_a_worker_whose_store_hangs_delivers_nothing_that_another_one_has),
            ("kept-lane", lambda: test_cancelled_at_each_await(cancel_during)),
        ],
    )
    def test_of_an_outbox(self, name: str, check: Callable[[], None], monkeypatch: pytest.MonkeyPatch) -> None:
        DEFECTS[name](monkeypatch)
        with pytest.raises(AssertionError, match="SCHEDULE_SEED"):
            check()
