# ruff: noqa: D102  (the names of the tests say what they check)
"""Contract, sections 5 and 6: what is there after the process that wrote it was killed."""

from __future__ import annotations

import asyncio
import contextlib
import random
import sys
from collections.abc import AsyncIterator, Callable, Coroutine
from typing import Any

import pytest

from ...base import StorageBackend
from ...seller.kinds import PREFIXES
from ..levels import Level, Section, belongs
from .harness import Harness, need_atomic_batches, need_second_instance
from .jobs import NewBackend, started_elsewhere

#: One of each kind of record and more, because a backend may keep them in different places.
BATCH = [f"{prefix}batch:{n}" for prefix in PREFIXES.values() for n in range(5)]
SECONDS = 30.0  #: within which another process has begun to write


def say(number: int) -> None:
    """Tell the process that started this one what is acknowledged."""
    sys.stdout.write(f"{number}\n")
    sys.stdout.flush()


async def write_until_killed(new_backend: NewBackend) -> None:
    """Write entry after entry, and say the number of each that was acknowledged."""
    async with new_backend() as backend:
        number = 0
        while True:
            await backend.set(f"item:{number}", {"n": number})
            say(number)
            number += 1


async def write_batches_until_killed(new_backend: NewBackend) -> None:
    """Write the same entries again and again, all with one value."""
    async with new_backend() as backend:
        number = 0
        while True:
            await backend.set_many(dict.fromkeys(BATCH, number))
            say(number)
            number += 1


@contextlib.asynccontextmanager
async def closed_meanwhile(backend: StorageBackend) -> AsyncIterator[None]:
    """Leave the store to another process, where both cannot use it at the same time."""
    if not backend.capabilities.shared:
        await backend.disconnect()
    try:
        yield
    finally:
        await backend.connect()


async def kill_while(new_backend: NewBackend, job: Callable[[NewBackend], Coroutine[Any, Any, None]]) -> int:
    """Have another process do ``job``, kill it at any moment, and return the last number that it said."""
    rng = random.Random()  # noqa: S311
    async with started_elsewhere(new_backend, job) as process:
        assert process.stdout is not None
        async with asyncio.timeout(SECONDS):
            first = await asyncio.to_thread(process.stdout.readline)
        assert first, "the other process ended before it wrote anything"
        await asyncio.sleep(rng.uniform(0.005, 0.05))
        process.kill()
        rest = await asyncio.to_thread(process.stdout.read)
    lines = (first + rest).decode().split("\n")[:-1]  # what follows the last end of a line was cut off
    return int(lines[-1])


async def a_killed_writer_leaves_halves(backend: StorageBackend, new_backend: NewBackend, rounds: int = 2) -> bool:
    """Tell whether a `set_many` that was under way when its process was killed is there in part."""
    for _ in range(rounds):
        await backend.delete_many(BATCH)
        async with closed_meanwhile(backend):
            await kill_while(new_backend, write_batches_until_killed)
        found = await backend.get_many(BATCH)
        if len(found) != len(BATCH) or len(set(found.values())) != 1:
            return True
    return False


@belongs(Level.FAULTS, Section.DURABILITY)
class DurabilityConformance(Harness):
    """Processes that end in the middle of their work."""

    async def test_acknowledged_writes_of_a_killed_process_are_there(
        self, backend: StorageBackend, new_backend: NewBackend
    ) -> None:
        if not backend.capabilities.durable:
            pytest.skip("does not declare durable")
        for _ in range(2):
            async with closed_meanwhile(backend):
                last = await kill_while(new_backend, write_until_killed)
            found = await backend.get_many([f"item:{n}" for n in range(last + 1)])
            assert found == {f"item:{n}": {"n": n} for n in range(last + 1)}, "an acknowledged write is missing"
            more = await backend.count("item:*") - len(found)
            assert more in (0, 1), "at most the write that was under way"
            await backend.delete_many(await backend.keys())

    async def test_killed_process_leaves_no_half_of_a_batch(
        self, backend: StorageBackend, new_backend: NewBackend
    ) -> None:
        need_atomic_batches(backend)
        need_second_instance(backend)
        assert not await a_killed_writer_leaves_halves(backend, new_backend), "half of a set_many"
