"""Effects of two processes under schedules: made once, whoever fails, hangs, is cancelled or dies when."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from ad_seller.storage import (
    Applied,
    NotApplied,
    Reconciled,
    StorageError,
    StorageTimeoutError,
    Transaction,
    Unknown,
)
from ad_seller.storage.atomic.claims import Claim
from ad_seller.storage.atomic.effects import Effect
from tests.atomic.support import MOMENTS, Moment, cancelled_at
from tests.defects import DEFECTS
from tests.schedules.several import hangs, processes
from tests.schedules.simulated import Disk, SimulatedBackend, SimulatedEngine
from tests.schedules.test_cancellation import at_each_await
from tests.schedules.world import World, explore

CLAIM_TTL = 0.3  #: seconds


class Ads:
    """Another system, on the way to which a call and its answer take time and are lost.

    Args:
        world: where chance comes from.
        faults: the share of calls that fail, before or after the order was made.

    Attributes:
        made: the id of every order.
        was_made: set with the first one.
        answers: whether who called is told of what was made.
    """

    def __init__(self, world: World, faults: float = 0.0) -> None:
        self.world = world
        self.faults = faults
        self.made: list[str] = []
        self.was_made = asyncio.Event()
        self.answers = asyncio.Event()
        self.answers.set()

    async def call(self, effect_id: str) -> int:
        fate = self.world.chance.random()
        await self.world.pause()
        if fate < self.faults / 2:
            raise ConnectionRefusedError
        self.made.append(effect_id)
        self.was_made.set()
        number = len(self.made)
        await self.answers.wait()
        await self.world.pause()
        if fate > 1 - self.faults / 2:
            raise ConnectionResetError
        return number

    async def reconcile(self, effect_id: str) -> Reconciled:
        await self.world.pause()
        if self.world.chance.random() < self.faults / 3:
            return Unknown("it is being repaired")
        return Applied(self.made.index(effect_id) + 1) if effect_id in self.made else NotApplied()

    async def order(self, store: SimulatedBackend, scope: str = "scope", **terms: Any) -> Any:
        """Make the order of a scope, once."""
        return await store.effect(scope, "order", self.call, reconcile=self.reconcile, claim_ttl=CLAIM_TTL, **terms)


async def claim_may_end(world: World) -> None:
    """Let the claims of who does not go on end in half of the schedules; in the others somebody waits for that."""
    await asyncio.sleep(world.chance.choice((0, CLAIM_TTL)))


def nothing_is_open(disk: Disk) -> bool:
    """Tell whether no effect is about to be made, or nobody knows what became of it."""
    return not any(key.startswith("effect_open:") for key in disk.entries)


def nobody_is_kept_waiting(disk: Disk) -> bool:
    """Tell whether nobody claims anything; a claim of `run_once` stands where its result will."""
    texts = [entry.text for entry in disk.entries.values()]
    return not any(b'"claim"' in text for text in texts)


async def save(tx: Transaction, result: Any) -> None:
    await tx.update("deals", lambda deals: [*(deals or []), result])


async def persist(ads: Ads, store: SimulatedBackend) -> Any:
    """Ask until there is an answer, as a buyer does."""
    for _ in range(200):
        try:
            return await ads.order(store, then=save)
        except (StorageError, ConnectionError):
            await asyncio.sleep(ads.world.chance.random())
    raise AssertionError("there was never an answer")


@pytest.mark.parametrize(("lost", "faults"), [(0.0, 0.0), (0.4, 0.0), (0.3, 0.1)])
def test_one_order_and_one_deal(lost: float, faults: float) -> None:
    async def scenario(world: World) -> None:
        disk = Disk(world, faults=faults)
        ads = Ads(world, lost)
        async with processes(disk) as stores:
            tasks = [asyncio.ensure_future(persist(ads, store)) for store in stores]
            world.cancel_some(tasks, 0.3)
            await world.gather(*tasks)
            ads.faults = disk.faults = 0.0
            last = await persist(ads, stores[0])
            assert all(task.cancelled() or task.result() == last == 1 for task in tasks)
        assert nothing_is_open(disk)
        assert len(ads.made) == 1
        assert await disk.value("deals") == [1]

    explore(scenario, 250)


def test_a_process_that_dies_is_followed_by_another() -> None:
    """Dead is who gets no call to the store through any more, and whose task ends, at any moment."""

    async def scenario(world: World) -> None:
        disk = Disk(world)
        ads = Ads(world)
        async with processes(disk, timeout=1) as [dying, other]:
            first = asyncio.ensure_future(ads.order(dying, then=save))
            await asyncio.sleep(world.chance.choice((0, 0.0001, 0.001, 0.003, 0.01, 0.03)))
            dying.frozen = True
            first.cancel()
            await claim_may_end(world)
            async with asyncio.timeout(60):
                assert await ads.order(other, then=save) == 1
            await asyncio.wait([first])
            dying.frozen = False
        assert len(ads.made) == 1
        assert await disk.value("deals") == [1]

    explore(scenario, 300)


@pytest.mark.parametrize("then", [save, None])
def test_who_hangs_is_replaced_and_its_late_result_refused(then: Any) -> None:
    """Its store hangs when the order was made, until its claim has ended and another one has gone on."""

    async def scenario(world: World) -> None:
        disk = Disk(world)
        ads = Ads(world)
        async with processes(disk, timeout=1) as [hanging, other]:
            ads.answers.clear()
            late = asyncio.ensure_future(ads.order(hanging, then=then))
            await ads.was_made.wait()
            hanging.frozen = True
            await claim_may_end(world)
            assert await ads.order(other, then=then) == 1
            changed = [await disk.value("effect:scope:order"), len(disk.applied)]
            ads.answers.set()
            hanging.frozen = False
            assert await late == 1, "it gives the answer of the other"
            assert [await disk.value("effect:scope:order"), len(disk.applied)] == changed, "it wrote nothing"
        assert len(ads.made) == 1
        assert await disk.value("deals") == ([1] if then else None)

    explore(scenario, 150)


def test_a_process_whose_store_hangs_at_each_await_makes_nothing_that_another_one_makes() -> None:
    async def once(world: World, step: int) -> bool:
        disk = Disk(world)
        ads = Ads(world)
        async with processes(disk, timeout=5) as [hanging, other]:
            hung = asyncio.Event()
            first = asyncio.ensure_future(
                cancelled_at(ads.order(hanging, then=save), step, hangs(hanging, hung.set))
            )
            first.add_done_callback(lambda _: hung.set())
            await hung.wait()
            await claim_may_end(world)
            assert await ads.order(other, then=save) == 1
            hanging.frozen = False
            await asyncio.wait([first])
            assert isinstance(first.exception(), StorageTimeoutError | None), first.exception()
            assert await ads.order(other, then=save) == 1
        assert len(ads.made) == 1
        assert await disk.value("deals") == [1]
        return first.exception() is not None or first.result()

    at_each_await(once, 20)


@pytest.mark.parametrize("moment", MOMENTS, ids=lambda moment: str(moment.__name__))
def test_cancelled_at_each_await(moment: Moment) -> None:
    async def once(world: World, step: int) -> bool:
        disk = Disk(world)
        ads = Ads(world)
        async with processes(disk, 1) as [store]:
            reached = await cancelled_at(ads.order(store, then=save), step, moment)
            assert nobody_is_kept_waiting(disk)
            assert await ads.order(store, then=save) == 1
            assert nothing_is_open(disk)
        assert (len(ads.made), await disk.value("deals")) == (1, [1])
        return reached

    at_each_await(once, 25)


@pytest.mark.parametrize("moment", MOMENTS, ids=lambda moment: str(moment.__name__))
def test_cancelled_at_each_await_of_going_on(moment: Moment) -> None:
    """The second try, which asks first."""

    async def once(world: World, step: int) -> bool:
        disk = Disk(world)
        ads = Ads(world)
        async with processes(disk, 1) as [store]:
            ads.faults = 2.0  # each call fails
            with pytest.raises(ConnectionError):
                await ads.order(store)
            ads.faults = 0.0
            reached = await cancelled_at(ads.order(store, then=save), step, moment)
            assert await ads.order(store, then=save) == 1
        assert (len(ads.made), await disk.value("deals")) == (1, [1])
        return reached

    at_each_await(once, 25)


class TestTheChecksFindDefects:
    def test_nobody_asks_the_other_system(self, monkeypatch: pytest.MonkeyPatch) -> None:
        async def believes(self: Effect) -> Reconciled:
            return NotApplied()

        monkeypatch.setattr(Effect, "_asked", believes)
        with pytest.raises(AssertionError, match="SCHEDULE_SEED"):
            test_one_order_and_one_deal(0.4, 0.0)
        with pytest.raises(AssertionError, match="SCHEDULE_SEED"):
            test_a_process_that_dies_is_followed_by_another()

    def test_a_late_result_is_committed(self, monkeypatch: pytest.MonkeyPatch) -> None:
        DEFECTS["effect-unfenced"](monkeypatch)
        for then in (save, None):
            with pytest.raises(AssertionError, match="SCHEDULE_SEED"):
                test_who_hangs_is_replaced_and_its_late_result_refused(then)

    def test_a_claim_that_has_ended_is_believed(self, monkeypatch: pytest.MonkeyPatch) -> None:
        DEFECTS["old-claim"](monkeypatch)
        with pytest.raises(AssertionError, match="SCHEDULE_SEED"):
            test_a_process_whose_store_hangs_at_each_await_makes_nothing_that_another_one_makes()

    def test_nothing_is_noted_of_a_failure(self, monkeypatch: pytest.MonkeyPatch) -> None:
        async def forgets(self: Effect, claim: Claim, error: BaseException) -> None:
            await self._restore(claim)

        monkeypatch.setattr(Effect, "_leave", forgets)
        with pytest.raises(AssertionError, match="SCHEDULE_SEED"):
            test_one_order_and_one_deal(0.4, 0.0)

    def test_commit_without_its_expectations(self, monkeypatch: pytest.MonkeyPatch) -> None:
        apply = SimulatedEngine.apply

        async def blind(self: SimulatedEngine, commits: Any) -> Any:
            return await apply(self, [commit._replace(expectations=()) for commit in commits])

        monkeypatch.setattr(SimulatedEngine, "apply", blind)
        with pytest.raises(AssertionError, match="SCHEDULE_SEED"):
            test_one_order_and_one_deal(0.0, 0.0)

    def test_unknown_is_taken_for_not_applied(self, monkeypatch: pytest.MonkeyPatch) -> None:
        asked = Effect._asked

        async def hopes(self: Effect) -> Reconciled:
            found = await asked(self)
            return NotApplied() if isinstance(found, Unknown) else found

        monkeypatch.setattr(Effect, "_asked", hopes)
        with pytest.raises(AssertionError, match="SCHEDULE_SEED"):
            test_one_order_and_one_deal(0.4, 0.0)
