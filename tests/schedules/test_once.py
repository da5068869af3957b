"""run_once of two processes under schedules: work is done once, and nobody waits for ever."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from ad_seller.storage import Transaction
from ad_seller.storage.atomic import claims
from ad_seller.storage.atomic.waits import Waits
from ad_seller.storage.errors import ConflictError
from tests.schedules.several import Tally, processes
from tests.schedules.simulated import Disk, SimulatedBackend
from tests.schedules.world import World, explore


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


class TestTheChecksFindDefects:
    def test_nobody_notices_who_waits_for_whom(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(Waits, "would_never_end", lambda *_: False)
        with pytest.raises(AssertionError, match="SCHEDULE_SEED"):
            test_requests_inside_of_each_other_do_not_wait_for_ever(1)

    def test_requests_wait_for_other_processes_without_end(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(claims, "_NESTED_PATIENCE", 1e9)
        with pytest.raises(AssertionError, match="SCHEDULE_SEED"):
            test_requests_inside_of_each_other_do_not_wait_for_ever(2)
