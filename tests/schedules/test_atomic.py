"""update, transact and run_once of two processes under schedules: exact sums, nothing torn, work done once."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from ad_seller.storage import Transaction
from ad_seller.storage.atomic import claims
from ad_seller.storage.atomic.waits import Waits
from ad_seller.storage.driver.commit import Commit, Put
from ad_seller.storage.errors import ConflictError, StorageError, UnknownOutcomeError
from ad_seller.storage.records.codec import encode
from tests.schedules.simulated import Disk, SimulatedBackend, SimulatedEngine, processes
from tests.schedules.world import World, explore


class Tally:
    """How a number of attempts ended."""

    def __init__(self) -> None:
        self.done = self.maybe = self.undone = 0

    async def count(self, work: Any) -> Any:
        """Await ``work``; a result means that it is done, an error that it is not, or that nobody knows."""
        try:
            result = await work
        except (asyncio.CancelledError, UnknownOutcomeError):
            self.maybe += 1
            return None
        except StorageError:
            self.undone += 1
            return None
        self.done += 1
        return result

    def check(self, found: int) -> None:
        assert self.done <= found <= self.done + self.maybe, vars(self)


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


@pytest.mark.parametrize("faults", [0.0, 0.1])
def test_a_request_runs_once_and_everyone_gets_its_answer(faults: float) -> None:
    async def scenario(world: World) -> None:
        disk = Disk(world, faults=faults)
        runs = 0
        tally = Tally()
        answers: list[Any] = []

        async def work(tx: Transaction) -> int:
            nonlocal runs
            runs += 1
            mine = runs
            await world.pause()
            await tx.update("booked", lambda n: (n or 0) + 1)
            return mine

        async def send(store: SimulatedBackend) -> None:
            answer = await tally.count(store.run_once("scope", "key", {"a": 1}, work))
            if answer is not None:
                answers.append(answer)

        async with processes(disk) as stores:
            tasks = [asyncio.ensure_future(send(world.chance.choice(stores))) for _ in range(3)]
            world.cancel_some(tasks, 0.3)
            await world.gather(*tasks)
        assert len(set(answers)) <= 1, "one answer for all"
        booked = await disk.value("booked") or 0
        assert bool(answers) <= booked <= 1
        assert faults or booked or tally.maybe or all(task.cancelled() for task in tasks)

    explore(scenario, 600)


def test_a_claim_of_a_process_that_died_ends_and_another_goes_on() -> None:
    async def scenario(world: World) -> None:
        disk = Disk(world)
        async with processes(disk) as [store, other]:
            frozen = asyncio.Event()

            async def forever(tx: Transaction) -> None:
                frozen.set()
                await world.loop.create_future()

            async def work(tx: Transaction) -> str:
                await tx.set("done", "by the other")
                return "answer"

            first = asyncio.ensure_future(store.run_once("scope", "key", 1, forever, claim_ttl=0.2))
            await frozen.wait()
            second = asyncio.ensure_future(other.run_once("scope", "key", 1, work, claim_ttl=0.2))
            await asyncio.sleep(0.5)
            assert not second.done(), "a claim that is renewed holds"
            first.cancel()
            await asyncio.wait([first, second])
            assert second.result() == "answer"
        assert await disk.value("done") == "by the other"

    explore(scenario, 60)


@pytest.mark.parametrize("count", [1, 2])
def test_requests_inside_of_each_other_do_not_wait_for_ever(count: int) -> None:
    """A asks for B while B asks for A, in one process or in two: one of them is told to try again."""

    async def scenario(world: World) -> None:
        disk = Disk(world)
        effects: list[str] = []

        async def ask(store: SimulatedBackend, name: str, other: str) -> str:
            async def work(tx: Transaction) -> str:
                await world.pause()
                if other:
                    await asyncio.create_task(ask(store, other, ""))  # in the same task transactions would nest
                await tx.set(name, 1)
                effects.append(name)
                return name

            return str(await store.run_once("scope", name, 1, work))

        async def persist(store: SimulatedBackend, name: str, other: str) -> None:
            for _ in range(20):
                try:
                    assert await ask(store, name, other) == name
                except ConflictError:
                    await asyncio.sleep(world.chance.random())
                else:
                    return
            raise AssertionError(f"{name} never got through")

        async with processes(disk, count) as stores:
            async with asyncio.timeout(120):
                await world.gather(persist(stores[0], "a", "b"), persist(stores[-1], "b", "a"))
        assert sorted(effects) == ["a", "b"]

    explore(scenario, 200 if count == 1 else 30)


def test_a_claim_is_as_long_as_its_owner_said() -> None:
    """Whoever waits with a shorter `claim_ttl` leaves it alone, and the work runs once."""

    async def scenario(world: World) -> None:
        disk = Disk(world)
        runs: list[int] = []
        begun = asyncio.Event()

        async def work(tx: Transaction) -> str:
            runs.append(1)
            begun.set()
            await asyncio.sleep(15)  # the renewals come every 20 s
            return "done"

        async with processes(disk) as [store, other]:
            first = asyncio.ensure_future(store.run_once("scope", "key", 1, work, claim_ttl=60))
            await begun.wait()
            assert await other.run_once("scope", "key", 1, work, claim_ttl=0.5) == await first == "done"
        assert len(runs) == 1

    explore(scenario, 5)


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
    def test_nobody_notices_who_waits_for_whom(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(Waits, "would_never_end", lambda *_: False)
        with pytest.raises(AssertionError, match="SCHEDULE_SEED"):
            test_requests_inside_of_each_other_do_not_wait_for_ever(1)

    def test_requests_wait_for_other_processes_without_end(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(claims, "_NESTED_PATIENCE", 1e9)
        with pytest.raises(AssertionError, match="SCHEDULE_SEED"):
            test_requests_inside_of_each_other_do_not_wait_for_ever(2)

    def test_commit_without_its_expectations(self, monkeypatch: pytest.MonkeyPatch) -> None:
        apply = SimulatedEngine.apply

        async def blind(self: SimulatedEngine, commits: Any) -> Any:
            return await apply(self, [commit._replace(expectations=()) for commit in commits])

        monkeypatch.setattr(SimulatedEngine, "apply", blind)
        with pytest.raises(AssertionError, match="SCHEDULE_SEED"):
            test_counters_are_exact(0.0, 0.0)
        for test in (
            test_transfers_keep_the_sum_and_no_reader_sees_half_of_one,
            test_a_request_runs_once_and_everyone_gets_its_answer,
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
