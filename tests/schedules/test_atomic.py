"""update, transact and run_once of two processes under schedules: exact sums, nothing torn, work done once."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from ad_seller.storage import Transaction
from ad_seller.storage.driver.commit import Commit, Put
from ad_seller.storage.errors import ConflictError, StorageError
from ad_seller.storage.records.codec import encode
from tests.schedules import test_once
from tests.schedules.several import Tally, processes
from tests.schedules.simulated import Disk, SimulatedBackend, SimulatedEngine
from tests.schedules.world import World, explore


@pytest.mark.parametrize(("faults", "slow"), [(0.0, 0.0), (0.15, 0.0), (0.05, 0.3)])
def test_counters_are_exact(faults: float, slow: float) -> None:
    async def scenario(world: World) -> None:
        disk = Disk(world, faults=faults, slow=slow)
        tally = Tally()
        sums: list[int] = []

        async def add(store: SimulatedBackend) -> None:
            total = await tally.count(store.increment("n"))
            if total is not None:
                sums.append(total)

        async with processes(disk) as stores:
            tasks = [asyncio.ensure_future(add(world.chance.choice(stores))) for _ in range(4)]
            world.cancel_some(tasks, 0.2)
            await world.gather(*tasks)
        assert len(set(sums)) == len(sums), "each sum is somebody's own"
        assert faults or tally.undone == 0
        tally.check(await disk.value("n") or 0)

    explore(scenario, 600)


def test_changes_of_one_process_are_applied_in_the_order_of_the_calls() -> None:
    async def scenario(world: World) -> None:
        disk = Disk(world, faults=world.chance.choice((0.0, 0.1)))
        called: list[int] = []

        async def append(store: SimulatedBackend, number: int) -> None:
            called.append(number)
            try:
                await store.update("list", lambda old: [*(old or []), number])
            except StorageError:
                called.remove(number)

        async with processes(disk, 1) as [store]:
            tasks = [asyncio.ensure_future(append(store, number)) for number in range(6)]
            world.cancel_some(tasks, 0.2)
            await world.gather(*tasks)
        found = await disk.value("list") or []
        assert len(found) == len(set(found))
        known = [number for number in found if number in called]
        assert known == [number for number in called if number in known]
        answered = {number for number, task in enumerate(tasks) if number in called and not task.cancelled()}
        assert answered <= set(found)

    explore(scenario, 600)


def test_an_answer_that_comes_with_the_time_out_is_an_answer_or_an_error_of_ours() -> None:
    """A frozen store goes on at the very moment at which those who wait give up."""

    async def scenario(world: World) -> None:
        disk = Disk(world)
        async with processes(disk, 1, timeout=0.3) as [store]:
            first = asyncio.ensure_future(store.increment("n"))
            await world.until(lambda: disk.calls)
            await asyncio.sleep(world.chance.choice((0, 0.1, 0.2)))
            tally = Tally()
            store.frozen = True
            rest = [asyncio.ensure_future(tally.count(store.increment("n"))) for _ in range(4)]
            world.loop.call_later(world.chance.choice((0.1, 0.2, 0.25)), setattr, store, "frozen", False)
            await world.gather(tally.count(first), *rest)
        tally.check(await disk.value("n") or 0)

    explore(scenario, 600)


async def transfer(tx: Transaction, source: str, target: str) -> None:
    await tx.update(source, lambda amount: amount - 1)
    await tx.update(target, lambda amount: amount + 1)


@pytest.mark.parametrize("faults", [0.0, 0.15])
def test_transfers_keep_the_sum_and_no_reader_sees_half_of_one(faults: float) -> None:
    async def scenario(world: World) -> None:
        disk = Disk(world, faults=faults)
        accounts = ["a", "b", "c"]

        tally = Tally()

        async def move(store: SimulatedBackend) -> None:
            source, target = world.chance.sample(accounts, 2)
            await tally.count(store.transact(lambda tx: transfer(tx, source, target)))

        async def look(store: SimulatedBackend) -> None:
            async def read(tx: Transaction) -> int:
                return sum([await tx.get(name) or 0 for name in accounts])

            try:
                assert await store.transact(read) == 30
            except StorageError:
                assert faults

        async with processes(disk) as stores:
            for name in accounts:
                await disk.apply([Commit((), (Put(name, encode(10)),))])
            tasks = [asyncio.ensure_future(move(world.chance.choice(stores))) for _ in range(2)]
            world.cancel_some(tasks, 0.2)
            await world.gather(*tasks, look(world.chance.choice(stores)))
        assert sum([await disk.value(name) for name in accounts]) == 30
        assert faults or tally.undone == 0
        moved = [commit for commit in disk.applied if len(commit.writes) == 2]
        tally.check(len(moved))

    explore(scenario, 300)


def test_conflicts_without_end_are_an_error_and_nothing_is_written() -> None:
    async def scenario(world: World) -> None:
        disk = Disk(world)
        async with processes(disk) as [store, other]:

            async def meddle(tx: Transaction) -> None:
                seen = await tx.get("k") or 0
                await other.set("k", seen + 1)
                await tx.set("mine", 1)

            with pytest.raises(ConflictError):
                await store.transact(meddle, attempts=3)
        assert await disk.value("mine") is None
        assert await disk.value("k") == 3

    explore(scenario, 100)


class TestTheChecksFindDefects:
    def test_commit_without_its_expectations(self, monkeypatch: pytest.MonkeyPatch) -> None:
        apply = SimulatedEngine.apply

        async def blind(self: SimulatedEngine, commits: Any) -> Any:
            return await apply(self, [commit._replace(expectations=()) for commit in commits])

        monkeypatch.setattr(SimulatedEngine, "apply", blind)
        with pytest.raises(AssertionError, match="SCHEDULE_SEED"):
            test_counters_are_exact(0.0, 0.0)
        for test in (
            test_transfers_keep_the_sum_and_no_reader_sees_half_of_one,
            test_once.test_a_request_runs_once_and_everyone_gets_its_answer,
        ):
            with pytest.raises(AssertionError, match="SCHEDULE_SEED"):
                test(0.0)

    def test_commit_in_two_parts(self, monkeypatch: pytest.MonkeyPatch) -> None:
        apply = Disk.apply

        async def torn(self: Disk, commits: Any) -> Any:
            answers: list[Any] = []
            for commit in commits:
                for n, write in enumerate(commit.writes):
                    part = commit._replace(expectations=() if n else commit.expectations, writes=(write,))
                    answers += await apply(self, [part])
                    await self.world.pause()
            return [answers[-1]] * len(commits)

        monkeypatch.setattr(Disk, "apply", torn)
        with pytest.raises(AssertionError, match="SCHEDULE_SEED"):
            test_transfers_keep_the_sum_and_no_reader_sees_half_of_one(0.0)
