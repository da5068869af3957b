"""The loop itself: a seed determines everything, all orders come up, what hangs or stays behind is found."""

from __future__ import annotations

import asyncio
import gc
import subprocess
import sys
import time
import warnings
from itertools import permutations
from pathlib import Path

import pytest

from tests.schedules import world as worlds
from tests.schedules.loop import MAX_STEPS, DeadlockError, LivelockError, ScheduleLoop
from tests.schedules.several import processes
from tests.schedules.simulated import Disk
from tests.schedules.world import World, explore, run

ROOT = Path(__file__).parents[2]


async def bustle(world: World) -> None:
    """Something of everything: two processes, faults, cancellations, updates, transactions, leases, time."""
    disk = Disk(world, faults=0.1)

    async def work(name: str) -> None:
        async with disk.backend() as store:
            updates = [asyncio.ensure_future(store.increment(f"k{n % 2}")) for n in range(6)]
            await world.pause()
            updates[2].cancel()
            world.note(name, [type(r).__name__ for r in await asyncio.gather(*updates, return_exceptions=True)])
            async with store.lease("l", 5, wait=60) as lease:
                world.note(name, "fence", lease.fence)
                await world.pause()

    await asyncio.gather(work("a"), work("b"), return_exceptions=True)
    world.note("applied", [commit.keys for commit in disk.applied])


def story(seed: int) -> str:
    world = run(bustle, seed, traced=True)
    return repr((world.loop.trace, world.events))


class TestReplay:
    @pytest.mark.parametrize("seed", range(20))
    def test_a_seed_is_one_story(self, seed: int) -> None:
        assert story(seed) == story(seed)

    def test_also_in_another_process_with_other_hashes(self) -> None:
        code = "import sys; from tests.schedules.test_loop import story; print(*map(story, range(5)), sep='\\n')"
        told = [
            subprocess.run(
                [sys.executable, "-c", code],
                cwd=ROOT,
                env={"PYTHONHASHSEED": seed, "PYTHONPATH": str(ROOT)},
                check=True,
                capture_output=True,
                text=True,
            ).stdout
            for seed in ("1", "2")
        ]
        assert told[0] == told[1] == "".join(f"{story(seed)}\n" for seed in range(5))

    def test_whatever_was_before(self) -> None:
        """Also where a schedule takes the connected stores of the one before."""
        told: list[object] = []

        async def scenario(world: World) -> None:
            disk = Disk(world)
            async with processes(disk) as stores:
                calls = [asyncio.ensure_future(store.increment("n")) for store in (*stores, *stores)]
                world.cancel_some(calls, 0.5)
                answers = [repr(one) for one in await asyncio.gather(*calls, return_exceptions=True)]
            told.append((world.loop.seed, world.loop.steps, answers, disk.applied))

        explore(scenario, 30)
        together = told.copy()
        for seed in range(len(together)):
            run(scenario, seed)
        assert told[len(together) :] == together or worlds.SEED

    def test_seeds_differ(self) -> None:
        assert len({story(seed) for seed in range(50)}) == 50

    def test_failure_tells_how_to_see_it_again(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(worlds, "SEED", None)
        with pytest.raises(AssertionError, match="SCHEDULE_SEED") as first:
            explore(lost_update, 1000)
        seed = str(first.value).partition("schedule ")[2].partition(" ")[0]
        monkeypatch.setattr(worlds, "SEED", seed)
        with pytest.raises(AssertionError) as again:
            explore(lost_update, 1)
        assert str(again.value) == str(first.value)
        assert "read 0" in str(first.value)
        assert "lost_update" in str(first.value)

    def test_failure_that_does_not_come_again_is_told(self) -> None:
        runs: list[int] = []

        async def fails_once(world: World) -> None:
            runs.append(1)
            assert len(runs) > 1

        with pytest.raises(AssertionError, match="something does not come from the seed"):
            explore(fails_once, 1)


async def lost_update(world: World) -> None:
    """A defect that asyncio's own order hides: both tasks read before either writes only if the second is early."""
    counter = 0

    async def add(turns: int) -> None:
        nonlocal counter
        for _ in range(turns):
            await asyncio.sleep(0)
        seen = counter
        world.note(f"read {seen}")
        await asyncio.sleep(0)
        counter = seen + 1

    await asyncio.gather(add(0), add(3))
    assert counter == 2


class TestOrder:
    def test_asyncio_itself_does_not_find_the_lost_update(self) -> None:
        world = World(ScheduleLoop(0))
        for _ in range(20):
            asyncio.run(lost_update(world))
        world.loop.close()

    def test_every_order_of_three_comes_up(self) -> None:
        found: set[tuple[int, ...]] = set()

        async def scenario(world: World) -> None:
            order: list[int] = []

            async def step(number: int) -> None:
                order.append(number)

            await asyncio.gather(*(step(number) for number in range(3)))
            found.add(tuple(order))

        explore(scenario, 1_000)
        assert found == set(permutations(range(3))) or worlds.SEED

    def test_timers_go_off_in_order_and_no_time_passes(self) -> None:
        naps = [1.0, 3600.0, 86_400.0]
        stories: set[tuple[bool, tuple[float, ...]]] = set()

        async def scenario(world: World) -> None:
            ends: list[float] = []

            async def nap(seconds: float) -> None:
                await asyncio.sleep(seconds)
                ends.append(world.loop.time())

            await asyncio.gather(*map(nap, naps))
            stories.add((world.loop.punctual, tuple(sorted(ends))))

        started = time.monotonic()
        for seed in range(20):
            run(scenario, seed)
        assert time.monotonic() - started < 60
        assert {ends for punctual, ends in stories if punctual} == {tuple(naps)}
        assert all(end >= nap for _, ends in stories for end, nap in zip(ends, naps, strict=True))


class TestWhatItFinds:
    def test_tasks_that_wait_for_each_other(self) -> None:
        async def scenario(world: World) -> None:
            first, second = asyncio.Lock(), asyncio.Lock()

            async def take(one: asyncio.Lock, other: asyncio.Lock) -> None:
                async with one:
                    await world.pause()
                    async with other:
                        pass

            await asyncio.gather(take(first, second), take(second, first))

        with pytest.raises(AssertionError, match=r"DeadlockError: nothing is ready.*take#\d', 'take#\d"):
            explore(scenario, 100)

    def test_future_that_nobody_sets(self) -> None:
        async def scenario(world: World) -> None:
            await world.loop.create_future()

        with pytest.raises(DeadlockError):
            run(scenario, 0)

    def test_going_round_for_ever(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr("tests.schedules.loop.MAX_STEPS", 1000)

        async def scenario(world: World) -> None:
            while True:  # noqa: ASYNC110 - that is the point
                await asyncio.sleep(0)

        with pytest.raises(LivelockError):
            run(scenario, 0)

    def test_task_that_is_left(self) -> None:
        async def scenario(world: World) -> None:
            _ = world.loop.create_task(asyncio.sleep(5), name="forgotten")

        with pytest.raises(AssertionError, match=r"tasks are left: .*forgotten"):
            run(scenario, 0)

    def test_timer_that_is_left(self) -> None:
        async def scenario(world: World) -> None:
            world.loop.call_later(5, world.pause)

        with pytest.raises(AssertionError, match="timers are left"):
            run(scenario, 0)

    def test_callback_that_fails(self) -> None:
        async def scenario(world: World) -> None:
            world.loop.call_soon(lambda: 1 / 0)

        with pytest.raises(AssertionError, match="ZeroDivisionError"):
            run(scenario, 0)

    def test_exception_that_nobody_looks_at(self) -> None:
        """A ring of objects keeps the future until the garbage is collected, long after its schedule."""

        async def scenario(world: World) -> None:
            ring: list[object] = [world.loop.create_future()]
            ring.append(ring)
            if not world.loop.seed:
                ring[0].set_exception(ValueError("unseen"))  # type: ignore[attr-defined]

        with pytest.raises(AssertionError, match=r"\{0: .*ValueError\('unseen'\)"):
            explore(scenario, 3)

    def test_what_never_began_when_a_failed_schedule_ended(self) -> None:
        """It is nobody's fault, and asyncio would tell of it in the middle of another test."""

        async def scenario(world: World) -> None:
            def begin(_: object = None) -> None:
                for _ in range(2):
                    world.loop.create_task(asyncio.sleep(0)).add_done_callback(begin)

            world.loop._end_of_patience = 100 - MAX_STEPS  # so that the end of the failed schedule is short
            begin()

        with warnings.catch_warnings(record=True) as told:
            warnings.simplefilter("always")
            with pytest.raises(LivelockError):
                run(scenario, 0)
            gc.collect()
        assert not told

    def test_thread(self) -> None:
        async def scenario(world: World) -> None:
            await asyncio.to_thread(time.time)

        with pytest.raises(AssertionError, match="a thread was asked for"):
            run(scenario, 0)
