"""Outboxes under schedules: each message at least once, with one worker at a time, in order, whoever ends when."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable
from contextlib import aclosing, suppress
from functools import partial
from typing import NamedTuple

import pytest

from ad_seller.storage import Message, Outbox, StorageError, Transaction
from ad_seller.storage.driver.commit import Commit, Put
from ad_seller.storage.records.codec import encode
from ad_seller.storage.seller.outbox_entries import OutboxForm, Waiting, lane_of
from tests.atomic.support import MOMENTS, Moment, cancel_during, cancelled_at
from tests.defects import DEFECTS
from tests.schedules.several import dies, hangs, processes
from tests.schedules.simulated import Disk, SimulatedBackend
from tests.schedules.test_cancellation import at_each_await
from tests.schedules.world import World, explore

FORM = OutboxForm.of("hooks")
LEASE = 0.4  #: seconds
LATE = LEASE / 2 + 0.04  #: seconds of a lease that may be gone when a message is given: answers take time
#: The keys of the messages that are put, in order, a row in each schedule: all but those without one share a lane.
KEYS: tuple[tuple[str | None, ...], ...] = (("h", "h"), ("h", "h", "q"), ("h", "h", "q"), ("h", "h", "q", None))
#: Likewise, where a worker follows another one: small stories come more often.
FEW: tuple[tuple[str | None, ...], ...] = (("h", "h"), ("h", "h"), ("h", "q"), ("h", None))


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
        slow: the share of first deliveries that take a good part of it; of later ones a fifth.
        idle: seconds between two looks of a worker that finds nothing, at most.
        keys: those of the messages, one row of which is taken.
    """

    def __init__(
        self,
        world: World,
        disk: Disk,
        *,
        failing: float = 0.0,
        hanging: float = 0.0,
        slow: float = 0.2,
        idle: float = LEASE / 4,
        keys: tuple[tuple[str | None, ...], ...] = FEW,
    ) -> None:
        self.world = world
        self.disk = disk
        self.failing = failing
        self.hanging = hanging
        self.slow = slow
        self.idle = idle
        self.given: Counter[str] = Counter()
        self.acknowledged: list[str] = []
        self._keys = world.chance.choice(keys)
        self._puts: dict[str, tuple[int, str | None]] = {}
        self._hands: list[Hand] = []
        self._open = 0
        self._settled = asyncio.Event()

    @property
    def waiting(self) -> list[str]:
        """The ids of what waits."""
        return [key.rpartition(":")[2] for key in self.disk.entries if key.startswith(FORM.prefix)]

    async def put(self, store: SimulatedBackend) -> None:
        """Put the messages one after the other, each with the deal that it tells of."""
        for number, key in enumerate(self._keys):

            async def deal(tx: Transaction, number: int = number, key: str | None = key) -> None:
                await tx.set(f"deal:{number}", number)
                self._puts[await tx.outbox("hooks").put(number, key)] = (number, key)

            with suppress(StorageError):
                await store.transact(deal)

    async def put_at_once(self, *, after_a_death: bool = False) -> None:
        """Have the messages there, where it is not the putting that matters; a worker of them may have died."""
        for number, key in enumerate(self._keys):
            message = Waiting.new(number, key)
            self._puts[message.id] = (number, key)
            puts = [
                Put(f"deal:{number}", encode(number)),
                Put(FORM.message_key(message.id, key), encode(message.record())),
            ]
            if after_a_death:
                puts.append(Put(FORM.trace_key(lane_of(key or message.id)), encode("a worker that died")))
            await self.disk.apply([Commit((), tuple(puts))])

    async def work(self, store: SimulatedBackend, *, to_the_end: bool = False) -> None:
        """Deliver, for ever or until nothing waits."""
        outbox = Outbox(store, FORM, self.world.clock)
        terms = {"lease": LEASE, "first_pause": 0.1, "longest_pause": 0.2, "idle": self.idle}
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
            self._settled.set()
            if message.is_delivered:
                assert self.given[hand.id] == turn, "who was replaced is not believed"
                self.acknowledged.append(hand.id)

    async def _deliver(self, hand: Hand) -> None:
        try:
            if hand.hangs:
                await asyncio.sleep(LEASE * self.world.chance.choice((1, 1.5, 3)))
            elif self.world.chance.random() < (self.slow if self.given[hand.id] == 1 else 0.2):
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
            while self.waiting or self._open:
                self._settled.clear()
                with suppress(TimeoutError):  # nothing tells of the answer that who was cancelled did not wait for
                    async with asyncio.timeout(LEASE):
                        await self._settled.wait()

    def check(self) -> None:
        """Each deal was told of under one id, and acknowledged once at most; nothing is left."""
        deals = sorted(int(key.removeprefix("deal:")) for key in self.disk.entries if key.startswith("deal:"))
        assert sorted(self._puts[one][0] for one in self.given) == deals
        assert len(set(self.acknowledged)) == len(self.acknowledged)
        assert not self.waiting


def no_lane_is_held(disk: Disk) -> bool:
    """Tell whether nobody is kept waiting."""
    return not any(key.startswith("outbox_lane:") for key in disk.entries)


async def lease_may_end(world: World) -> None:
    """Let the lease of who does not go on end in half of the schedules; in the others somebody waits for that."""
    await asyncio.sleep(world.chance.choice((0, LEASE)))


@pytest.mark.parametrize(
    ("failing", "hanging", "faults"), [(0.0, 0.0, 0.0), (0.3, 0.0, 0.0), (0.0, 0.3, 0.0), (0.2, 0.1, 0.15)]
)
def test_at_least_once_by_one_worker_at_a_time_in_order(failing: float, hanging: float, faults: float) -> None:
    async def scenario(world: World) -> None:
        disk = Disk(world, faults=faults)
        receiver = Receiver(world, disk, failing=failing, hanging=hanging, keys=KEYS)
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
                assert no_lane_is_held(disk)
                assert was_cancelled or sorted(receiver.acknowledged) == sorted(receiver.given)

    explore(scenario, 90)


@pytest.mark.parametrize(("timeout", "after_a_death"), [(LEASE * 3 / 4, False), (LEASE * 5, True)])
def test_who_hangs_at_each_await_delivers_nothing_of_others(timeout: float, *, after_a_death: bool) -> None:
    async def once(world: World, step: int) -> bool:
        disk = Disk(world)
        receiver = Receiver(world, disk, slow=0.8, idle=LEASE / 8)
        async with processes(disk, timeout=timeout) as [hanging, other]:
            await receiver.put_at_once(after_a_death=after_a_death)
            hung = asyncio.Event()
            first = asyncio.ensure_future(
                cancelled_at(receiver.work(hanging, to_the_end=True), step, hangs(hanging, hung.set))
            )
            first.add_done_callback(lambda _: hung.set())
            await hung.wait()
            seconds = LEASE * world.chance.choice((0.5, 1, 1.5, 3))
            thaw = world.loop.call_later(seconds, setattr, hanging, "frozen", False)
            await lease_may_end(world)
            second = asyncio.ensure_future(receiver.work(other))
            await receiver.all_done()
            for worker in (first, second):
                worker.cancel()
            thaw.cancel()
            hanging.frozen = False
            [reached, _] = await world.gather(first, second)
            receiver.check()
        return bool(reached)

    at_each_await(once, 45 if after_a_death else 15)  # one schedule of ten finds the defect that this is about


@pytest.mark.parametrize("moment", MOMENTS, ids=lambda moment: str(moment.__name__))
def test_cancelled_at_each_await(moment: Moment) -> None:
    async def once(world: World, step: int) -> bool:
        disk = Disk(world)
        receiver = Receiver(world, disk)
        async with processes(disk) as [cancelled, other]:
            await receiver.put_at_once()
            reached = await cancelled_at(receiver.work(cancelled, to_the_end=True), step, moment)
            assert no_lane_is_held(disk)
            if receiver.waiting:
                await receiver.work(other, to_the_end=True)
            receiver.check()
        return reached

    at_each_await(once, 12)


def test_a_process_that_dies_at_each_await_is_followed_by_another() -> None:
    async def once(world: World, step: int) -> bool:
        disk = Disk(world)
        receiver = Receiver(world, disk)
        async with processes(disk, timeout=0.1) as [dying, other]:
            await receiver.put_at_once()
            reached = await cancelled_at(receiver.work(dying, to_the_end=True), step, dies(dying))
            await lease_may_end(world)
            if receiver.waiting:
                await receiver.work(other, to_the_end=True)
            dying.frozen = False
            receiver.check()
        return reached

    at_each_await(once, 12)


class TestTheChecksFindDefects:
    @pytest.mark.parametrize(
        ("name", "check"),
        [
            ("late-acknowledgement", lambda: test_at_least_once_by_one_worker_at_a_time_in_order(0.0, 0.3, 0.0)),
            ("leased-to-two", lambda: test_at_least_once_by_one_worker_at_a_time_in_order(0.0, 0.0, 0.0)),
            (
                "old-lease",
                partial(
                    test_who_hangs_at_each_await_delivers_nothing_of_others, LEASE * 3 / 4, after_a_death=False
                ),
            ),
            (
                "noted-with-an-old-lease",
                partial(test_who_hangs_at_each_await_delivers_nothing_of_others, LEASE * 5, after_a_death=True),
            ),
            ("kept-lane", lambda: test_cancelled_at_each_await(cancel_during)),
        ],
    )
    def test_of_an_outbox(self, name: str, check: Callable[[], None], monkeypatch: pytest.MonkeyPatch) -> None:
        DEFECTS[name](monkeypatch)
        with pytest.raises(AssertionError, match="SCHEDULE_SEED"):
            check()
