"""The batcher under thousands of schedules: whose answer is whose, what was sent, who waits how long."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Iterator, Sequence

import pytest

from ad_seller.storage.driver.failures import NotStartedError
from ad_seller.storage.runtime.batcher import Batcher
from ad_seller.storage.runtime.request import Request, items_of
from tests.bulk_engine import ExplainedError, begun_by
from tests.schedules.world import World, explore

Results = Sequence[int | asyncio.Future[int]]

TIMEOUT = 5.0
GRACE = 1.0  #: contract of `batching`: how long beyond its time an attempt may still tell whether it has started


class Lane:
    """A bulk call that takes its time, fails now and then, and remembers what took effect.

    Attributes:
        applied: items in the order of their effect.
        begun: what each bulk call was given.
        called: who has called, in the order of the calls.
    """

    def __init__(self, world: World, *, faults: float, slow: float = 0.0) -> None:
        self.world = world
        self.faults = faults
        self.slow = slow
        self.applied: list[int] = []
        self.begun: list[list[int]] = []
        self.called: list[Caller] = []
        self.running = self.most_running = 0

    async def run(self, items: list[int]) -> Sequence[int]:
        self.begun.append(items)
        self.running += 1
        self.most_running = max(self.most_running, self.running)
        try:
            fate = self.world.chance.random()
            await self._take_time()
            if fate < self.faults:
                raise NotStartedError("busy")
            self.applied += items
            await self._take_time()
            if fate > 1 - self.faults:
                raise OSError("cut")
            return [-item for item in items]
        finally:
            self.running -= 1

    async def never(self, items: list[int]) -> Sequence[int]:
        """Answer when nobody waits any more."""
        await asyncio.sleep(2 * TIMEOUT)
        return [-item for item in items]

    async def _take_time(self) -> None:
        await self.world.pause()
        if self.world.chance.random() < self.slow:
            await asyncio.sleep(TIMEOUT * self.world.chance.random())


class Caller:
    """One request, and what became of it."""

    def __init__(self, world: World, batcher: Batcher[int, int], lane: Lane, number: int) -> None:
        self.items = [number * 100 + n for n in range(world.chance.choice((1, 1, 1, 2, 9)))]
        self._world, self._batcher, self._lane = world, batcher, lane
        self.answered = False
        self.waited = 0.0
        self.began = 0
        self.error: ExplainedError | None = None

    async def call(self) -> None:
        started = self._world.loop.time()
        self.began = len(self._lane.begun)
        self._lane.called.append(self)
        try:
            answer = await self._batcher.submit(self.items)
            assert answer == [-item for item in self.items], "the answer of somebody else"
            self.answered = True
        except ExplainedError as error:
            self.error = error
        finally:
            self.waited = self._world.loop.time() - started


async def storm(world: World, lane: Lane, *, callers: int = 6, max_items: int = 4, lanes: int = 1) -> list[Caller]:
    """Let callers come and go, some cancelled; when the batcher is idle, check what always holds."""
    batcher: Batcher[int, int] = Batcher(
        lane.run,
        explain=ExplainedError,
        timeout=TIMEOUT,
        max_items=max_items,
        concurrency=lanes,
        begin=world.chance.choice((None, begun_by(lane.run))),
    )
    people = [Caller(world, batcher, lane, number) for number in range(callers)]
    tasks: list[asyncio.Task[None]] = []
    for person in people:
        tasks.append(asyncio.ensure_future(person.call()))
        if world.chance.random() < 0.5:
            await world.pause()
        if world.chance.random() < 0.2:
            world.chance.choice(tasks).cancel()
    await world.gather(*tasks)
    await batcher.drain()
    assert lane.running == 0
    assert lane.most_running <= lanes
    assert not batcher._queue
    assert not batcher._tasks
    assert not batcher.running
    for batch in lane.begun:
        assert len(batch) <= max_items or len({item // 100 for item in batch}) == 1
    _check_effects(people, lane)
    if not lane.slow:
        late = any(person.error and isinstance(person.error.cause, TimeoutError) for person in people)
        assert not late, "somebody's time was up"
    return people


def _check_effects(people: list[Caller], lane: Lane) -> None:
    """What was answered took effect once, what failed unsent never, the rest at most once, and as a whole."""
    times = Counter(lane.applied)
    for person in people:
        assert person.error is None or person.error.items == person.items, "the error of somebody else"
        [count] = {times[item] for item in person.items}
        cause = person.error and person.error.cause
        assert isinstance(cause, NotStartedError | OSError | None)
        assert not isinstance(cause, TimeoutError) or str(cause) == "no answer within 5 s"
        assert person.error is None or cause is not None
        assert count <= 1, "a second effect"
        if person.answered:
            assert count == 1
        elif person.error is not None and not person.error.sent:
            assert count == 0


def order_of_calls(lane: Lane) -> list[int]:
    """Return what was applied, in the order in which it was asked for."""
    return [item for person in lane.called for item in person.items if item in lane.applied]


def test_with_one_lane() -> None:
    async def scenario(world: World) -> None:
        lane = Lane(world, faults=0.0)
        people = await storm(world, lane)
        assert not any(person.error for person in people)
        assert lane.applied == order_of_calls(lane)

    explore(scenario, 1000)


@pytest.mark.parametrize("lanes", [1, 3])
def test_with_failures(lanes: int) -> None:
    async def scenario(world: World) -> None:
        lane = Lane(world, faults=0.15)
        await storm(world, lane, lanes=lanes)
        if lanes == 1:
            assert lane.applied == order_of_calls(lane), "what was not started keeps its place"

    explore(scenario, 1000)


def test_nobody_waits_longer_than_the_time_out() -> None:
    async def scenario(world: World) -> None:
        lane = Lane(world, faults=0.1, slow=0.3)
        for person in await storm(world, lane, lanes=world.chance.choice((1, 2))):
            if world.loop.punctual:
                assert person.waited <= TIMEOUT + GRACE + 1e-6
            if person.error is not None and isinstance(person.error.cause, TimeoutError):
                assert person.waited >= TIMEOUT - 1e-6

    explore(scenario, 1000)


def test_every_request_is_in_the_next_batch_that_has_room() -> None:
    """Fairness: what is in front of a request fills all batches that begin before its own."""

    async def scenario(world: World) -> None:
        lane = Lane(world, faults=0.0)
        await storm(world, lane, callers=10)
        for position, person in enumerate(lane.called):
            if not person.answered:
                continue
            turn = next(turn for turn, batch in enumerate(lane.begun) if person.items[0] in batch)
            ahead = {item for other in lane.called[:position] for item in other.items}
            for batch in lane.begun[person.began : turn]:
                assert ahead.issuperset(batch), "somebody who came later was served first"

    explore(scenario, 600)


class ForgetfulBatcher(Batcher[int, int]):
    """A defect: an answer goes to whoever still waits, not to whom it belongs."""

    def _answers(
        self, batch: list[Request[int, int]], results: Results | None, error: BaseException | None
    ) -> Iterator[None]:
        waiting = [request for request in batch if not request.future.done()]
        return super()._answers(waiting, results and results[: len(items_of(waiting))], error)


class StubbornBatcher(Batcher[int, int]):
    """A defect: what failed after it was sent is tried again."""

    async def _handle(self, batch: list[Request[int, int]]) -> None:
        async def again(items: list[int]) -> Results:
            try:
                return await run(items)
            except OSError:
                return await run(items)

        run, self._run = self._run, again
        try:
            await super()._handle(batch)
        finally:
            self._run = run


class SleepyBatcher(Batcher[int, int]):
    """A defect: what comes while a batch runs is not looked at when it ends."""

    def _finished(self, task: asyncio.Future[None]) -> None:
        self._tasks.discard(task)


@pytest.mark.parametrize(
    ("broken", "found"),
    [
        (ForgetfulBatcher, "the answer of somebody else"),
        (StubbornBatcher, "a second effect"),
        (SleepyBatcher, "somebody's time was up"),
    ],
)
def test_these_checks_find_defects(
    broken: type[Batcher[int, int]], found: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tests.schedules.test_batcher.Batcher", broken)

    async def scenario(world: World) -> None:
        await storm(world, Lane(world, faults=0.15))

    with pytest.raises(AssertionError, match=f"(?s)SCHEDULE_SEED.*{found}"):
        explore(scenario, 1000)


def test_a_call_ends_early_enough_to_tell_why() -> None:
    """With a reserve, the error is there before the caller's own time is up, and not much earlier."""

    async def scenario(world: World) -> None:
        batcher: Batcher[int, int] = Batcher(
            Lane(world, faults=0.0, slow=0.0).never, explain=ExplainedError, timeout=TIMEOUT, reserve=0.5
        )
        started = world.loop.time()
        with pytest.raises(ExplainedError):
            await batcher.submit([1])
        if world.loop.punctual:
            assert world.loop.time() - started == pytest.approx(TIMEOUT - 0.5)
        await batcher.drain()

    explore(scenario, 50)
