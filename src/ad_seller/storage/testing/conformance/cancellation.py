# ruff: noqa: D102  (the names of the tests say what they check)
"""Contract, section 5: a cancelled operation took effect entirely or not at all, and leaves nothing behind."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Coroutine
from typing import Any

import pytest

from ...base import StorageBackend
from ...seller.transaction import Transaction
from ..levels import Level, Section, belongs
from .harness import Harness, Leftovers, Victims, need_atomic_batches, need_sharing, not_shown
from .jobs import NewBackend, run_elsewhere, write_entries

KEYS = [f"storm:{n}" for n in range(8)]
PAIR = ["pair:left", "pair:right"]
WAVE = 100  #: operations under way at the same time


class Storm:
    """Random operations on few keys, each checked for being its own answer, half of them cancelled."""

    def __init__(self, backend: StorageBackend, seed: int) -> None:
        """Start with nothing done."""
        self.backend = backend
        self.rng = random.Random(seed)  # noqa: S311
        self.cancelled = 0
        self.finished = 0

    async def rage(self, operations: int) -> None:
        """Start waves of operations until so many were made."""
        for _ in range(operations // WAVE):
            tasks = [asyncio.ensure_future(self._operation()) for _ in range(WAVE)]
            victims = self.rng.sample(tasks, WAVE // 2)
            await asyncio.gather(*map(self._cancel, victims))
            await self._look_at(tasks, set(victims))

    async def _cancel(self, victim: asyncio.Task[None]) -> None:
        """Cancel after some turns of the event loop, or some time: fast and slow backends both get their share."""
        if self.rng.random() < 0.5:
            for _ in range(self.rng.randint(0, 4)):
                await asyncio.sleep(0)
        else:
            await asyncio.sleep(self.rng.uniform(0, 0.003))
        victim.cancel()

    async def _look_at(self, tasks: list[asyncio.Task[None]], victims: set[asyncio.Task[None]]) -> None:
        async with asyncio.timeout(30):
            await asyncio.wait(tasks)
        for task in tasks:
            if task.cancelled():
                assert task in victims, "cancelled although nobody did"
                self.cancelled += 1
            else:
                task.result()  # raises what went wrong
                self.finished += 1

    def _operation(self) -> Coroutine[Any, Any, None]:
        operations = [self._get, self._get, self._set, self._set, self._delete, self._get_many, self._keys]
        return self.rng.choice([*operations, self._exists, self._update, self._set_pair, self._scan])()

    async def _get(self) -> None:
        key = self.rng.choice(KEYS)
        self._belongs(key, await self.backend.get(key))

    async def _set(self) -> None:
        key = self.rng.choice(KEYS)
        assert await self.backend.set(key, {"key": key}, self.rng.choice([None, 60])) is None  # type: ignore[func-returns-value]

    async def _delete(self) -> None:
        assert type(await self.backend.delete(self.rng.choice(KEYS))) is bool

    async def _exists(self) -> None:
        assert type(await self.backend.exists(self.rng.choice(KEYS))) is bool

    async def _get_many(self) -> None:
        wanted = self.rng.sample(KEYS, 3)
        for key, value in (await self.backend.get_many(wanted)).items():
            assert key in wanted
            self._belongs(key, value)

    async def _keys(self) -> None:
        assert set(await self.backend.keys("storm:[0-3]")) <= set(KEYS[:4])

    async def _scan(self) -> None:
        for key, value in (await self.backend.scan("storm:*")).items:
            self._belongs(key, value)

    async def _update(self) -> None:
        key = self.rng.choice(KEYS)
        mine = {"key": key, "nonce": self.rng.random()}
        assert await self.backend.update(key, lambda current: mine, ttl=None) == mine

    async def _set_pair(self) -> None:
        await self.backend.set_many(dict.fromkeys(PAIR, self.rng.random()))

    @staticmethod
    def _belongs(key: str, value: Any) -> None:
        assert value is None or value["key"] == key, "the answer of another caller"


@belongs(Level.FAULTS, Section.CONCURRENCY)
class CancellationConformance(Harness):
    """Callers that give up at any moment."""

    @pytest.mark.parametrize("seed", range(3))
    async def test_storm_of_cancellations(self, new_backend: NewBackend, seed: int) -> None:
        backend = new_backend()
        leftovers = Leftovers()
        await backend.connect()
        storm = Storm(backend, seed)
        await storm.rage(self.storm_size // 3)
        if backend.capabilities.atomic_batches:
            assert len(set((await backend.get_many(PAIR)).values())) <= 1, "half of a set_many"
        async with asyncio.timeout(10):
            for key in KEYS:
                await backend.set(key, {"key": key, "after": True})
            for key in KEYS:
                assert await backend.update(key, lambda current: current) == {"key": key, "after": True}
                assert await backend.delete(key)
            await backend.disconnect()
        await leftovers.check()
        if storm.cancelled <= storm.finished / 10:
            not_shown(
                f"{storm.cancelled} of {storm.cancelled + storm.finished} calls were under way when cancelled"
            )

    @belongs(Level.PROCESSES, Section.CONCURRENCY)
    async def test_cancelled_writers_keep_no_other_process_waiting(
        self, backend: StorageBackend, new_backend: NewBackend
    ) -> None:
        need_sharing(backend)
        await Storm(backend, seed=4).rage(self.storm_size // 6)
        await run_elsewhere(new_backend, write_entries, "elsewhere:", 10, seconds=15)
        assert await backend.count("elsewhere:*") == 10

    async def test_cancelled_writes_do_not_come_back(self, backend: StorageBackend) -> None:
        rng = random.Random(5)  # noqa: S311
        victims = Victims()
        for turn in range(self.storm_size // 30):
            late = victims.start(backend.set, "a", ["cancelled", turn])
            await asyncio.sleep(rng.choice([0, 0, 0.0002, 0.001]))
            late.cancel()
            await backend.set("a", ["lasting", turn])
            assert await backend.get("a") == ["lasting", turn]
            await asyncio.wait([late])
            await asyncio.sleep(0 if turn % 4 else 0.005)
            assert await backend.get("a") == ["lasting", turn]
        victims.show()

    async def test_cancelled_adds_to_an_index_are_all_or_nothing(self, backend: StorageBackend) -> None:
        rng = random.Random(6)  # noqa: S311
        ids = [f"s{n}" for n in range(self.storm_size // 15)]
        victims = Victims()
        tasks = [victims.start(backend.add_session_to_buyer_index, one, "gold") for one in ids]
        for task in rng.sample(tasks, len(tasks) // 2):
            await asyncio.sleep(rng.choice([0, 0, 0.0005]))
            task.cancel()
        async with asyncio.timeout(30):
            await asyncio.wait(tasks)
        index = await backend.get_buyer_session_ids("gold")
        added = [one for one, task in zip(ids, tasks, strict=True) if not task.cancelled() and not task.exception()]
        assert [one for one in index if one in added] == added, "an acknowledged add is missing or out of order"
        assert len(index) == len(set(index))
        assert set(index) <= set(ids)
        victims.show()

    async def test_cancelled_transactions_are_all_or_nothing(self, backend: StorageBackend) -> None:
        rng = random.Random(9)  # noqa: S311
        await backend.set_many({"left": 1000, "right": 1000})

        async def transfer(transaction: Transaction) -> None:
            for key, change in (("left", -1), ("right", 1)):
                balance: Any = await transaction.get(key)
                await transaction.set(key, balance + change)

        struck = Victims()
        for turn in range(self.storm_size // 30):
            lasting = [asyncio.ensure_future(backend.transact(transfer)) for _ in range(turn % 2)]
            victims = [struck.start(backend.transact, transfer) for _ in range(1 + turn % 2)]
            for _ in range(turn % 20):
                await asyncio.sleep(0 if turn % 3 else rng.choice([0, 0, 0.0003]))
            for task in victims:
                task.cancel()
            async with asyncio.timeout(30):
                await asyncio.wait([*lasting, *victims])
            for task in lasting:
                task.result()
            assert sum((await backend.get_many(["left", "right"])).values()) == 2000, "half of a transaction"
        struck.show()

    async def test_cancelled_batches_are_all_or_nothing(self, backend: StorageBackend) -> None:
        need_atomic_batches(backend)
        keys = [f"item:{n}" for n in range(10)]
        await backend.set_many(dict.fromkeys(keys, -1))
        victims = Victims()
        for turn in range(self.storm_size // 30):
            writing = victims.start(backend.set_many, dict.fromkeys(keys, turn))
            for _ in range(turn % 20):
                await asyncio.sleep(0)
            writing.cancel()
            await asyncio.wait([writing])
            assert len(set((await backend.get_many(keys)).values())) == 1, "half of a set_many"
        victims.show()

    async def test_cancelled_connect_leaves_nothing(self, new_backend: NewBackend) -> None:
        rng = random.Random(7)  # noqa: S311
        backend = new_backend()
        leftovers = Leftovers()
        for _ in range(40):
            connecting = asyncio.ensure_future(backend.connect())
            await asyncio.sleep(rng.choice([0, 0, 0.0005, 0.001, 0.002]))
            connecting.cancel()
            await asyncio.wait([connecting])
            if rng.random() < 0.3:
                await backend.disconnect()
        await backend.connect()
        await backend.set("a", 1)
        assert await backend.get("a") == 1
        await backend.disconnect()
        await leftovers.check()

    async def test_cancelled_disconnect_can_be_followed_by_connect(self, new_backend: NewBackend) -> None:
        rng = random.Random(8)  # noqa: S311
        backend = new_backend()
        leftovers = Leftovers()
        for turn in range(20):
            await backend.connect()
            writes = [asyncio.ensure_future(backend.set(key, turn)) for key in KEYS]
            await asyncio.sleep(0)
            leaving = asyncio.ensure_future(backend.disconnect())
            await asyncio.sleep(rng.choice([0, 0.0005, 0.001]))
            leaving.cancel()
            async with asyncio.timeout(10):
                await asyncio.wait([leaving, *writes])
            for write in writes:
                write.result()
        await backend.connect()
        await backend.set("a", 1)
        assert await backend.get("a") == 1
        await backend.disconnect()
        await leftovers.check()

    async def test_waiting_time_of_the_caller_is_respected(self, backend: StorageBackend) -> None:
        for _ in range(20):
            tasks = [asyncio.ensure_future(backend.set(key, {"key": key})) for key in KEYS]
            with pytest.raises(TimeoutError):
                async with asyncio.timeout(0):
                    await asyncio.gather(*tasks)
        assert set(await backend.keys()) <= set(KEYS)
        await backend.set("a", 1)
