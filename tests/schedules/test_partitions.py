"""Partitions under schedules: a server that fails or hangs holds up nobody else, and each lane keeps its order."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable, Sequence

import pytest

from ad_seller.storage.runtime.batcher import Batcher
from ad_seller.storage.runtime.partitions import PartitionedBatcher
from tests.bulk_engine import ExplainedError
from tests.schedules.world import World, explore

LANES = 3
TIMEOUT = 5.0
PROMPT = TIMEOUT / 5  #: seconds within which a server that is well has answered everybody


def lane_of(item: int) -> int:
    """Return the lane of an item; tens stand for keys."""
    return item % 10


class Servers:
    """One server for each lane; that of lane 0 may be dead or slow.

    Attributes:
        applied: items in the order of their effect.
        called: items in the order in which they were asked for.
    """

    def __init__(self, world: World, trouble: str) -> None:
        self.applied: list[int] = []
        self.called: list[int] = []
        self._world = world
        self._trouble = trouble
        self._busy: set[int] = set()

    async def run(self, items: list[int]) -> Sequence[int]:
        lanes = set(map(lane_of, items))
        assert not lanes & self._busy, "two batches of one lane at a time"
        self._busy |= lanes
        try:
            await self._world.pause()
            if 0 in lanes:
                await self._be_in_trouble()
            self.applied += items
            await self._world.pause()
            return [-item for item in items]
        finally:
            self._busy -= lanes

    async def _be_in_trouble(self) -> None:
        if self._trouble == "dead":
            raise OSError("refused")
        if self._trouble == "slow":
            await asyncio.sleep(TIMEOUT * self._world.chance.choice((0.5, 1, 1.5)))


class Caller:
    """One request for items of one lane or of several, and what became of it."""

    def __init__(self, world: World, number: int) -> None:
        count = world.chance.choice((1, 1, 2, 5))
        self.items = [10 * (5 * number + n) + world.chance.randrange(LANES) for n in range(count)]
        self.ill = 0 in map(lane_of, self.items)
        self.answered = False
        self.waited = 0.0
        self.error: ExplainedError | None = None
        self.seen: Counter[int] = Counter()  # what had taken effect when the error came
        self._world = world

    async def call(self, lanes: PartitionedBatcher[int, int], servers: Servers) -> None:
        started = self._world.loop.time()
        servers.called += self.items
        try:
            assert await lanes.submit(self.items) == [-item for item in self.items], "the answers of others"
            self.answered = True
        except ExplainedError as error:
            self.error, self.seen = error, Counter(servers.applied)
        finally:
            self.waited = self._world.loop.time() - started


def check(world: World, people: list[Caller], servers: Servers, trouble: str) -> None:
    times = Counter(servers.applied)
    for lane in range(LANES):
        asked = [item for item in servers.called if lane_of(item) == lane and item in times]
        assert [item for item in servers.applied if lane_of(item) == lane] == asked, "out of order in a lane"
    for person in people:
        assert all(times[item] <= 1 for item in person.items)
        for lane in range(LANES):
            assert len({times[item] for item in person.items if lane_of(item) == lane}) <= 1, "half of a part"
        if person.answered:
            assert all(times[item] == 1 for item in person.items)
        if not person.ill:
            assert person.error is None, "the failure of another lane"
            assert person.waited < PROMPT or not world.loop.punctual, "held up by another lane"
        elif person.error is not None and trouble == "dead":
            assert all(times[item] == person.seen[item] for item in person.items), "told before all had ended"
        assert person.waited <= TIMEOUT + 1e-6 or not world.loop.punctual


async def storm(world: World, trouble: str) -> list[Caller]:
    """Let callers come and go, some cancelled; what was asked for is done or failed at the end."""
    servers = Servers(world, trouble)

    def batcher() -> Batcher[int, int]:
        return Batcher(servers.run, explain=ExplainedError, timeout=TIMEOUT, max_items=4)

    lanes: PartitionedBatcher[int, int] = PartitionedBatcher(lane_of, batcher)
    people = [Caller(world, number) for number in range(6)]
    tasks: list[asyncio.Task[None]] = []
    for person in people:
        tasks.append(asyncio.ensure_future(person.call(lanes, servers)))
        if world.chance.random() < 0.5:
            await world.pause()
        if world.chance.random() < 0.2:
            world.chance.choice(tasks).cancel()
    await world.gather(*tasks)
    await lanes.drain()
    assert not lanes.running
    check(world, people, servers, trouble)
    return people


@pytest.mark.parametrize("trouble", ["none", "dead", "slow"])
def test_partitions_know_nothing_of_each_other(trouble: str) -> None:
    failed = answered = 0

    async def scenario(world: World) -> None:
        nonlocal failed, answered
        people = await storm(world, trouble)
        failed += sum(person.error is not None for person in people)
        answered += sum(person.answered for person in people)

    explore(scenario, 600)
    assert answered
    assert bool(failed) == (trouble != "none")


def one_for_all(
    self: PartitionedBatcher[int, int], lane_of: Callable[[int], int], make: Callable[[], Batcher[int, int]]
) -> None:
    """A defect: all lanes share a batcher."""
    shared = make()
    build(self, lambda item: 0, lambda: shared)


def a_lane_each(
    self: PartitionedBatcher[int, int], lane_of: Callable[[int], int], make: Callable[[], Batcher[int, int]]
) -> None:
    """A defect: the lane is not the same for all that must keep its order."""
    build(self, lambda item: item, make)


async def in_order_of_lanes(self: PartitionedBatcher[int, int], items: Sequence[int]) -> list[int]:
    """A defect: the results of the lanes one after the other."""
    return await submit(self, sorted(items, key=lane_of))


class Impatient:
    """A defect, as the module `asyncio`: the first failure is told while other parts are still under way."""

    @staticmethod
    async def gather(*works: Awaitable[list[int]], return_exceptions: bool) -> list[list[int]]:
        return await asyncio.gather(*works)


build, submit = PartitionedBatcher.__init__, PartitionedBatcher.submit


@pytest.mark.parametrize(
    ("place", "defect", "trouble", "found"),
    [
        ("PartitionedBatcher.__init__", one_for_all, "slow", "another lane"),
        (
            "PartitionedBatcher.__init__",
            a_lane_each,
            "none",
            "two batches of one lane|out of order in a lane|half of a part",
        ),
        ("PartitionedBatcher.submit", in_order_of_lanes, "none", "the answers of others"),
        ("asyncio", Impatient, "dead", "told before all had ended"),
    ],
)
def test_these_checks_find_defects(
    place: str, defect: object, trouble: str, found: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(f"ad_seller.storage.runtime.partitions.{place}", defect)
    with pytest.raises(AssertionError, match=f"(?s)SCHEDULE_SEED.*{found}"):
        test_partitions_know_nothing_of_each_other(trouble)
