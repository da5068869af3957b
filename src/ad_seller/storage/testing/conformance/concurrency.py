# ruff: noqa: D102  (the names of the tests say what they check)
"""Contract, section 5: many callers at once, in one process and in several."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import random
import time
from typing import NamedTuple

import pytest

from ...base import StorageBackend
from ..levels import Level, Section, belongs
from .harness import Harness, need_second_instance, need_sharing
from .jobs import NewBackend, run_elsewhere, write_entries


class Call(NamedTuple):
    """A read or a write of one key: which value, and when it began and ended."""

    value: object
    began: float
    ended: float


def stale_reads(writes: list[Call], reads: list[Call]) -> list[tuple[Call, Call]]:
    """Return the pairs of a read, and a write or read that proves it wrong; each value was written once.

    A value is wrong if its write began after the read ended, or if a later write ended before the read began.
    Two reads one after the other are wrong if the values come in the order opposite to their writes.
    """
    by_value = {write.value: write for write in writes}
    wrong: list[tuple[Call, Call]] = []
    for read in reads:
        source = by_value[read.value]
        wrong += [(read, source)] * (source.began > read.ended)
        wrong += [(read, write) for write in writes if source.ended < write.began and write.ended < read.began]
    for first, second in itertools.permutations(reads, 2):
        earlier, later = by_value[second.value], by_value[first.value]
        if first.ended < second.began and earlier.ended < later.began:
            wrong.append((second, first))
    return wrong


@belongs(Level.LOAD, Section.CONCURRENCY)
class ConcurrencyConformance(Harness):
    """Each operation happens at one moment between its call and its answer."""

    async def test_callers_read_what_they_wrote(self, backend: StorageBackend) -> None:
        async def caller(number: int) -> None:
            key = f"item:{number}"
            for turn in range(5):
                await backend.set(key, turn)
                assert await backend.get(key) == turn
                assert await backend.exists(key)
                assert key in await backend.keys(f"{key}*")
                assert await backend.delete(key)
                assert await backend.get(key) is None
                assert key not in await backend.get_many([key])

        await asyncio.gather(*map(caller, range(40)))
        assert await backend.count() == 0

    async def test_callers_read_what_others_wrote(self, backend: StorageBackend) -> None:
        for turn in range(30):
            await asyncio.gather(*(backend.set(f"item:{n}", turn) for n in range(10)))
            found = await asyncio.gather(*(backend.get(f"item:{n}") for n in range(10)))
            assert found == [turn] * 10

    @belongs(Level.PROCESSES, Section.CONCURRENCY)
    async def test_two_instances_see_each_other(self, backend: StorageBackend, new_backend: NewBackend) -> None:
        need_sharing(backend)
        async with new_backend() as other:
            for turn in range(30):
                await backend.set("a", turn)
                assert await other.get("a") == turn
                await other.set("b", turn)
                assert await backend.get_many(["a", "b"]) == {"a": turn, "b": turn}
                assert await other.delete("a")
                assert not await backend.exists("a")
                assert await backend.keys() == ["b"]

    async def test_writes_are_in_the_order_of_their_calls(self, backend: StorageBackend) -> None:
        for _ in range(10):
            tasks = [asyncio.ensure_future(backend.set("a", n)) for n in range(20)]
            await asyncio.gather(*tasks)
            assert await backend.get("a") == 19

    @pytest.mark.parametrize("instances", [1, 2])
    async def test_reads_and_writes_are_linearizable(
        self, backend: StorageBackend, new_backend: NewBackend, instances: int
    ) -> None:
        if instances == 2:
            need_sharing(backend)
        rng = random.Random(instances)  # noqa: S311
        numbers = itertools.count(1)
        await backend.set("a", 0)
        writes = [Call(0, 0, time.monotonic())]
        reads: list[Call] = []
        async with contextlib.AsyncExitStack() as opened:
            second = await opened.enter_async_context(new_backend()) if instances == 2 else backend

            async def caller(own: StorageBackend) -> None:
                for _ in range(20):
                    value: object = next(numbers)
                    began = time.monotonic()
                    if rng.random() < 0.5:
                        await own.set("a", value)
                        writes.append(Call(value, began, time.monotonic()))
                    else:
                        value = await own.get("a")
                        reads.append(Call(value, began, time.monotonic()))
                    await asyncio.sleep(rng.choice([0, 0, 0.001]))

            await asyncio.gather(*(caller(second if n % instances else backend) for n in range(8)))
        assert stale_reads(writes, reads) == []

    async def test_many_callers_at_once(self, backend: StorageBackend) -> None:
        entries = {f"item:{n}": {"n": n} for n in range(500)}
        await asyncio.gather(*(backend.set(key, value) for key, value in entries.items()))
        found = await asyncio.gather(*(backend.get(key) for key in entries))
        assert found == list(entries.values())
        existed = await asyncio.gather(*(backend.delete(key) for key in entries))
        assert existed == [True] * 500

    async def test_one_of_many_deletes_finds_it(self, backend: StorageBackend) -> None:
        await backend.set("a", 1)
        assert (await asyncio.gather(*(backend.delete("a") for _ in range(30)))).count(True) == 1

    @belongs(Level.PROCESSES, Section.CONCURRENCY)
    async def test_processes_write_at_the_same_time(self, backend: StorageBackend, new_backend: NewBackend) -> None:
        need_sharing(backend)
        prefixes = [f"process-{n}:" for n in range(4)]
        others = [run_elsewhere(new_backend, write_entries, prefix, 100) for prefix in prefixes]
        await asyncio.gather(*others, *(backend.set(f"here:{n}", n) for n in range(100)))
        assert await backend.count() == 500
        for prefix in prefixes:
            assert await backend.count(f"{prefix}*") == 100

    @belongs(Level.DURABLE, Section.DURABILITY)
    async def test_another_instance_continues(self, backend: StorageBackend, new_backend: NewBackend) -> None:
        need_second_instance(backend)
        await backend.set("a", {"n": 1})
        await backend.disconnect()
        async with new_backend() as other:
            assert await other.get("a") == {"n": 1}
            await other.persist("a")
            await other.set("a", {"n": 2})
        await backend.connect()
        assert await backend.get("a") == {"n": 2}
