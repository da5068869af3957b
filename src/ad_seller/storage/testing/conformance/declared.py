# ruff: noqa: D102  (the names of the tests say what they check)
"""What a backend declares, tried out.

A promise that is seen broken has failed. An ability that is not declared is tried as well, because callers ask
`capabilities` and would do without; but that nothing went wrong in a few tries is no proof of it, so the most that
comes of it is "not shown", with a hint. Only what one look decides fails in both directions.
"""

from __future__ import annotations

import asyncio
import tempfile
from typing import Any

import pytest

from ...base import StorageBackend
from ...errors import StorageError, UnsupportedError
from ..levels import Level, Section, belongs
from .durability import BATCH, a_killed_writer_leaves_halves, closed_meanwhile
from .harness import Harness, need_second_instance, not_shown
from .jobs import (
    Meeting,
    NewBackend,
    add_sessions,
    add_sessions_together,
    count_up,
    forget_to_disconnect,
    run_elsewhere,
    run_together,
)

LOOKS = 3  #: how often halves of a batch, and lost changes, are looked for where the backend admits them
MOST = 2000  #: changes that this process makes while it waits for another one


def compare(name: str, declared: object, works: object) -> None:
    """Fail, and say what to declare, unless both are equal; for what one look decides."""
    if works != declared:
        pytest.fail(
            f"declares {name}={declared!r}, but {name}={works!r} is what it does. "
            f"Return Capabilities({name}={works!r}, …) from `capabilities`, or repair the backend.",
            pytrace=False,
        )


def compare_tries(name: str, declared: object, works: object) -> None:
    """Fail if a promise was seen broken; tell, without a verdict, if a promise that is not made seems to hold."""
    if works == declared or declared not in (False, "process"):
        compare(name, declared, works)
        return
    not_shown(
        f"declares {name}={declared!r}; nothing that was tried speaks against {name}={works!r}, which is no proof. "
        f"If it always holds, return Capabilities({name}={works!r}, …) from `capabilities`"
    )


class DeclarationConformance(Harness):
    """Each capability, tried out."""

    @belongs(Level.DURABLE, Section.DURABILITY)
    async def test_declares_durable_if_it_is(self, backend: StorageBackend, new_backend: NewBackend) -> None:
        async with closed_meanwhile(backend):
            await run_elsewhere(new_backend, forget_to_disconnect, "a")
            async with new_backend() as other:
                survived = await other.get("a") == "written"
        compare_tries("durable", backend.capabilities.durable, survived)

    @belongs(Level.PROCESSES, Section.CONCURRENCY)
    async def test_declares_shared_if_it_is(self, backend: StorageBackend, new_backend: NewBackend) -> None:
        compare_tries("shared", backend.capabilities.shared, await _is_shared(backend, new_backend))

    @belongs(Level.ATOMIC, Section.CHANGES)
    async def test_declares_its_atomic_scope(self, backend: StorageBackend, new_backend: NewBackend) -> None:
        need_second_instance(backend)
        works = "store" if await _counts_exactly(backend, new_backend) else "process"
        compare_tries("atomic", backend.capabilities.atomic, works)

    @belongs(Level.EXPIRY, Section.TTL)
    async def test_declares_who_knows_the_expiry(self, backend: StorageBackend, new_backend: NewBackend) -> None:
        need_second_instance(backend)
        await backend.set("a", 1, ttl=60)
        await backend.disconnect()
        async with new_backend() as other:
            try:
                left = await other.ttl("a")
            except UnsupportedError:
                left = None
        compare("expiry", backend.capabilities.expiry, "process" if left is None else "store")

    @belongs(Level.BATCH_AND_SCAN, Section.INTERFACE)
    async def test_declares_atomic_batches_if_they_are(
        self, backend: StorageBackend, new_backend: NewBackend
    ) -> None:
        declared = backend.capabilities.atomic_batches
        whole = True  # halves are seen by luck
        for _ in range(1 if declared else LOOKS):
            whole = not await _mixes_batches(backend)
            if whole and backend.capabilities.durable:
                whole = not await a_killed_writer_leaves_halves(backend, new_backend)
            if not whole:
                break
        compare_tries("atomic_batches", declared, whole)


async def _is_shared(backend: StorageBackend, new_backend: NewBackend) -> bool:
    """Tell whether processes see each other's writes at once, and lose none of their changes to an index."""
    try:
        await run_elsewhere(new_backend, add_sessions, "gold", ["first"])
        if await backend.get_buyer_session_ids("gold") != ["first"]:
            return False
        looks = 1 if backend.capabilities.shared else LOOKS
        for look in range(looks):  # lost changes are seen by luck
            if not await _keeps_all(backend, new_backend, f"gold.{look}"):
                return False
        return True
    except (StorageError, AssertionError):
        if backend.capabilities.shared:
            raise
        return False


async def _keeps_all(backend: StorageBackend, new_backend: NewBackend, pricing_key: str) -> bool:
    """Tell whether two processes that begin at the same time lose none of their changes to an index."""
    there = [f"there.{n}" for n in range(100)]
    here: list[str] = []
    with tempfile.TemporaryDirectory() as folder:
        meeting = Meeting(folder, 2)
        elsewhere = asyncio.ensure_future(
            run_elsewhere(new_backend, add_sessions_together, meeting, pricing_key, there)
        )
        while not (elsewhere.done() or meeting.has_begun()):  # noqa: ASYNC110 - another process leaves a file
            await asyncio.sleep(0.002)
        if not elsewhere.done():
            await meeting.begin()
        while not elsewhere.done() and len(here) < MOST:
            here.append(f"here.{len(here)}")
            await backend.add_session_to_buyer_index(here[-1], pricing_key)
            await asyncio.sleep(0)
        await elsewhere
    return sorted(await backend.get_buyer_session_ids(pricing_key)) == sorted([*here, *there])


async def _counts_exactly(backend: StorageBackend, new_backend: NewBackend) -> bool:
    """Tell whether two instances, then two processes, are seen to lose no increment of one counter."""
    try:
        return await _count_in_two(backend, new_backend)
    except (StorageError, AssertionError) as error:
        if not backend.capabilities.shared:
            not_shown(f"declares shared=False, and two instances at once are refused: {error}")
        if backend.capabilities.atomic == "store":
            raise
        return False


async def _count_in_two(backend: StorageBackend, new_backend: NewBackend) -> bool:
    if backend.capabilities.shared:
        async with new_backend() as other:
            await asyncio.gather(*(one.increment("a") for one in (backend, other) for _ in range(50)))
        if await backend.get("a") != 100:
            return False
    else:
        await backend.disconnect()
        async with new_backend() as first, new_backend() as second:
            await asyncio.gather(*(one.increment("a") for one in (first, second) for _ in range(50)))
            if await first.get("a") != 100:
                return False
        await backend.connect()
    await run_together(new_backend, count_up, *[("b", 100)] * 2)
    return await backend.get("b") == 200


async def _mixes_batches(backend: StorageBackend) -> bool:
    """Tell whether a reader ever sees a part of a `set_many`, or a mix of two."""
    keys = BATCH[::5]
    await backend.set_many(dict.fromkeys(keys, 0))
    seen: list[dict[str, Any]] = []

    async def read() -> None:
        for _ in range(40):
            seen.append(await backend.get_many(keys))
            await asyncio.sleep(0)

    async def write(writer: int) -> None:
        for turn in range(20):
            await backend.set_many(dict.fromkeys(keys, f"{writer}.{turn}"))

    await asyncio.gather(read(), write(1), write(2))
    seen.append(await backend.get_many(keys))
    return any(len(found) != len(keys) or len(set(found.values())) != 1 for found in seen)
