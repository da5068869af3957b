"""Single keys under schedules: every answer was true at some moment of its call, whoever is cancelled meanwhile."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from itertools import pairwise
from typing import Any

import pytest

from ad_seller.storage.driver.failures import LostError
from ad_seller.storage.errors import StorageError, StorageTimeoutError, UnknownOutcomeError
from ad_seller.storage.records.codec import encode
from ad_seller.storage.runtime.session import Session
from tests.schedules.simulated import Disk, SimulatedBackend, SimulatedEngine
from tests.schedules.world import World, explore

KEYS = ("a", "b")


class Client:
    """One task's calls, each compared with what the disk held between its beginning and its end."""

    def __init__(self, world: World, disk: Disk, store: SimulatedBackend, number: int) -> None:
        self.world, self.disk, self.store = world, disk, store
        self._values = iter(range(number * 1000, number * 1000 + 1000))
        self.failed = 0

    async def work(self, calls: int) -> None:
        kinds: list[Callable[[str], Coroutine[Any, Any, None]]] = [self.get, self.get, self.set, self.delete]
        kinds += [self.create, self.exists, self.swap, self.get_many]
        for _ in range(calls):
            try:
                await self.world.chance.choice(kinds)(self.world.chance.choice(KEYS))
            except StorageError:
                self.failed += 1
            if self.world.chance.random() < 0.3:
                await self.world.pause()

    def _held(self, key: str, start: int) -> list[Any]:
        return self.disk.during(key, start, self.world.loop.steps)

    async def get(self, key: str) -> None:
        start = self.world.loop.steps
        value = await self.store.get(key)
        assert value in self._held(key, start)

    async def exists(self, key: str) -> None:
        start = self.world.loop.steps
        answer = await self.store.exists(key)
        assert answer in {value is not None for value in self._held(key, start)}

    async def get_many(self, _: str) -> None:
        start = self.world.loop.steps
        found = await self.store.get_many(KEYS)
        for key in KEYS:
            assert found.get(key) in self._held(key, start)

    async def set(self, key: str) -> None:
        value = next(self._values)
        start = self.world.loop.steps
        try:
            await self.store.set(key, value)
        except BaseException as error:
            self._check_failed(key, value, error)
            raise
        assert value in self._held(key, start)
        assert self.disk.times_applied(key, encode(value)) == 1

    async def create(self, key: str) -> None:
        value = next(self._values)
        start = self.world.loop.steps
        try:
            created = await self.store.create(key, value)
        except BaseException as error:
            self._check_failed(key, value, error)
            raise
        assert self.disk.times_applied(key, encode(value)) == created
        held = self._held(key, start)
        assert value in held if created else any(other is not None for other in held)

    async def swap(self, key: str) -> None:
        seen = await self.store.get(key)
        value = next(self._values)
        start = self.world.loop.steps
        try:
            swapped = seen is not None and await self.store.compare_and_set(key, seen, value)
        except BaseException as error:
            self._check_failed(key, value, error)
            raise
        held = self._held(key, start)
        assert self.disk.times_applied(key, encode(value)) == swapped
        if swapped:
            assert (seen, value) in pairwise(held), "from the one to the other, nothing between"
        else:
            assert seen is None or held != [seen]

    async def delete(self, key: str) -> None:
        start = self.world.loop.steps
        existed = await self.store.delete(key)
        held = self._held(key, start)
        assert existed in [before is not None for before, after in pairwise(held) if after is None]

    def _check_failed(self, key: str, value: int, error: BaseException) -> None:
        times = self.disk.times_applied(key, encode(value))
        unknown = isinstance(error, UnknownOutcomeError | asyncio.CancelledError)
        assert times <= 1 if unknown else times == 0, f"{error!r} after {times} effects"


async def checked(world: World, disk: Disk, *, clients: int, calls: int, timeout: float = 5.0) -> list[Client]:
    """Let clients of two processes work at the same time, some cancelled; nothing is left of anybody."""
    stores = [disk.backend(sweep_interval=None, timeout=timeout) for _ in range(2)]
    for store in stores:
        await store.connect()
    people = [Client(world, disk, world.chance.choice(stores), number) for number in range(1, clients + 1)]
    tasks = [asyncio.ensure_future(person.work(calls)) for person in people]
    for task in tasks:
        if world.chance.random() < 0.3:
            await world.pause()
            task.cancel()
    await world.gather(*tasks)
    for store in stores:
        await store.let_go()
    return people


def test_each_answer_was_true_during_its_call() -> None:
    async def scenario(world: World) -> None:
        people = await checked(world, Disk(world, versions=True), clients=3, calls=2)
        assert not any(person.failed for person in people)

    explore(scenario, 1000)


def test_also_when_bulk_calls_fail_or_take_too_long() -> None:
    failed = 0

    async def scenario(world: World) -> None:
        nonlocal failed
        people = await checked(
            world, Disk(world, faults=0.2, slow=0.03, versions=True), clients=3, calls=2, timeout=0.1
        )
        failed += sum(person.failed for person in people)

    explore(scenario, 1000)
    assert failed


def test_reads_go_on_while_others_write_without_end() -> None:
    """Fairness: a read waits for the bulk calls that have begun, never for those that come after it."""

    async def scenario(world: World) -> None:
        disk = Disk(world)
        ended = False

        async def write(store: SimulatedBackend, key: str) -> None:
            while not ended:
                await store.set(key, 1)

        async with disk.backend(sweep_interval=None) as store:
            writers = [asyncio.ensure_future(write(store, key)) for key in KEYS * 2]
            for _ in range(2):
                before = disk.calls
                await store.get("a")
                assert disk.calls - before <= 40
            ended = True
            await asyncio.gather(*writers)

    explore(scenario, 200)


class TestTheChecksFindDefects:
    def test_answers_in_the_wrong_order(self, monkeypatch: pytest.MonkeyPatch) -> None:
        read = SimulatedEngine.read

        async def mixed_up(self: SimulatedEngine, keys: list[str]) -> Any:
            return (await read(self, keys))[::-1]

        monkeypatch.setattr(SimulatedEngine, "read", mixed_up)
        self.fails()

    def test_effects_after_a_time_out_that_promised_none(self, monkeypatch: pytest.MonkeyPatch) -> None:
        def map_write(self: Session, error: BaseException, request: Any) -> BaseException:
            return StorageTimeoutError("nothing was written")

        monkeypatch.setattr(Session, "_map_write", map_write)
        self.fails()

    def test_second_effect(self, monkeypatch: pytest.MonkeyPatch) -> None:
        apply = SimulatedEngine.apply

        async def twice(self: SimulatedEngine, commits: Any) -> Any:
            try:
                return await apply(self, commits)
            except LostError:
                return await apply(self, commits)

        monkeypatch.setattr(SimulatedEngine, "apply", twice)
        self.fails()

    def fails(self) -> None:
        async def scenario(world: World) -> None:
            await checked(world, Disk(world, faults=0.2, slow=0.03, versions=True), clients=3, calls=2, timeout=0.1)

        with pytest.raises(AssertionError, match="SCHEDULE_SEED"):
            explore(scenario, 300)
