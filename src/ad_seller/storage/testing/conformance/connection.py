# ruff: noqa: D102  (the names of the tests say what they check)
"""Contract, section 5: the life cycle, in one event loop, in another one, in a child process."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import os
import threading
import warnings

import pytest

from ...base import StorageBackend
from ...errors import NotConnectedError, StorageError
from ..levels import Level, Section, belongs
from .calls import ALL
from .harness import Harness, Leftovers
from .jobs import NewBackend, forget_to_disconnect, in_forked_child, run_elsewhere
from .rows import rows

SECONDS = 10.0  #: whatever takes longer hangs


async def works_or_says_why(backend: StorageBackend) -> bool:
    """Use the backend as it is: True if it works, False after a clear error; anything else fails."""
    try:
        async with asyncio.timeout(SECONDS):
            found = await backend.get("a")
            await backend.set("b", 2)
    except StorageError:
        return False
    assert found == 1
    return True


@belongs(Level.CORE, Section.CONCURRENCY)
class ConnectionConformance(Harness):
    """Opening and closing, in any order and from anywhere."""

    @belongs(Level.CORE, Section.ERRORS)
    @rows("name", ALL)
    async def test_not_connected_is_an_error(self, new_backend: NewBackend, name: str) -> None:
        backend = new_backend()
        message = r"^Storage not connected\. Call connect\(\) first\."
        with pytest.raises(NotConnectedError, match=message) as caught:
            await ALL[name](backend)
        assert isinstance(caught.value, RuntimeError)
        await backend.connect()
        await backend.disconnect()
        with pytest.raises(NotConnectedError, match=message):
            await ALL[name](backend)
        await backend.connect()
        assert await backend.keys() == [], "what was refused was done all the same"
        await backend.disconnect()

    async def test_connect_twice_is_harmless(self, new_backend: NewBackend) -> None:
        backend = new_backend()
        leftovers = Leftovers()
        await backend.connect()
        await backend.set("a", 1)
        await backend.connect()
        assert await backend.get("a") == 1
        await backend.disconnect()
        await leftovers.check()

    async def test_connect_at_the_same_time_is_harmless(self, new_backend: NewBackend) -> None:
        backend = new_backend()
        leftovers = Leftovers()

        async def connect_and_use(number: int) -> None:
            await backend.connect()
            await backend.set(f"item:{number}", number)
            assert await backend.get(f"item:{number}") == number

        await asyncio.gather(*map(connect_and_use, range(30)))
        assert await backend.count() == 30
        await backend.disconnect()
        await leftovers.check()

    async def test_disconnect_twice_or_first_is_harmless(self, new_backend: NewBackend) -> None:
        backend = new_backend()
        await backend.disconnect()
        await backend.connect()
        await backend.disconnect()
        await backend.disconnect()
        await backend.connect()
        await backend.set("a", 1)
        await asyncio.gather(*(backend.disconnect() for _ in range(10)))
        with pytest.raises(NotConnectedError):
            await backend.get("a")

    async def test_reuse_after_reconnect(self, new_backend: NewBackend) -> None:
        other = new_backend()
        leftovers = Leftovers()
        async with contextlib.AsyncExitStack() as beside:
            if other.capabilities.shared:
                await beside.enter_async_context(new_backend())
            for turn in range(10):
                await other.connect()
                await other.set("turn", turn)
                assert await other.get("turn") == turn
                await other.disconnect()
                if turn == 0:  # SQLite keeps a descriptor or two for as long as another connection is open
                    leftovers = Leftovers()
            await leftovers.check()

    @belongs(Level.DURABLE, Section.DURABILITY)
    async def test_entries_are_there_after_reconnect(
        self, backend: StorageBackend, new_backend: NewBackend
    ) -> None:
        if not backend.capabilities.durable:
            pytest.skip("does not declare durable")
        entries = {f"item:{n}": {"n": n} for n in range(50)}
        await backend.set_many(entries)
        await backend.disconnect()
        async with new_backend() as other:
            assert dict((await other.scan()).items) == entries
        await backend.connect()
        assert dict((await backend.scan()).items) == entries

    async def test_disconnect_waits_for_what_is_under_way(self, new_backend: NewBackend) -> None:
        other = new_backend()
        await other.connect()
        writes = [asyncio.ensure_future(other.set(f"item:{n}", n)) for n in range(50)]
        reads = [asyncio.ensure_future(other.keys()), asyncio.ensure_future(other.get("item:1"))]
        await asyncio.sleep(0)
        async with asyncio.timeout(SECONDS):
            await other.disconnect()
        assert all(task.done() for task in [*writes, *reads])
        await asyncio.gather(*writes, *reads)
        if other.capabilities.durable:
            async with new_backend() as after:
                there = await after.count()
            assert there == 50, (
                "declares durable: what was asked for before disconnect() must be there for the next instance, "
                f"and {there} of 50 acknowledged writes are"
            )

    async def test_connect_and_disconnect_in_a_crowd(self, new_backend: NewBackend) -> None:
        backend = new_backend()
        leftovers = Leftovers()

        async def come_and_go(number: int) -> None:
            for _ in range(5):
                await backend.connect()
                try:
                    await backend.set(f"item:{number}", number)
                    assert await backend.get(f"item:{number}") in (number, None)
                except NotConnectedError:
                    pass  # somebody else was faster
                await backend.disconnect()

        async with asyncio.timeout(30):
            await asyncio.gather(*map(come_and_go, range(10)))
        await leftovers.check()

    async def test_async_with_connects_and_disconnects(self, new_backend: NewBackend) -> None:
        backend = new_backend()
        async with backend as entered:
            assert entered is backend
            await backend.set("a", 1)
        with pytest.raises(NotConnectedError):
            await backend.get("a")
        with pytest.raises(ZeroDivisionError):
            async with backend:
                raise ZeroDivisionError
        with pytest.raises(NotConnectedError):
            await backend.get("a")

    # --- other event loops -----------------------------------------------------------------------------

    @belongs(Level.FAULTS, Section.CONCURRENCY)
    async def test_second_event_loop_works_or_gets_a_clear_error(self, backend: StorageBackend) -> None:
        await backend.set("a", 1)
        await asyncio.wait_for(asyncio.to_thread(asyncio.run, works_or_says_why(backend)), 3 * SECONDS)
        assert await works_or_says_why(backend), "the first event loop can go on"

    @belongs(Level.FAULTS, Section.CONCURRENCY)
    async def test_connect_in_a_second_event_loop(self, backend: StorageBackend) -> None:
        await backend.set("a", 1)

        async def reopen() -> None:
            try:
                async with asyncio.timeout(SECONDS):
                    await backend.connect()
                    await backend.disconnect()
            except StorageError:
                pass

        await asyncio.wait_for(asyncio.to_thread(asyncio.run, reopen()), 3 * SECONDS)
        async with asyncio.timeout(SECONDS):
            await backend.connect()
            await backend.set("b", 2)
            assert await backend.get("b") == 2

    @belongs(Level.FAULTS, Section.CONCURRENCY)
    async def test_two_event_loops_at_once_lose_nothing(self, backend: StorageBackend) -> None:
        added: list[str] = []

        async def add(session_id: str) -> None:
            with contextlib.suppress(StorageError):  # a clear error will do
                async with asyncio.timeout(SECONDS):
                    await backend.add_session_to_buyer_index(session_id, "gold")
                added.append(session_id)

        both = threading.Barrier(2, timeout=SECONDS)

        async def add_many(prefix: str) -> None:
            await asyncio.to_thread(both.wait)
            for turn in range(5):
                await asyncio.gather(*(add(f"{prefix}{turn}{n}") for n in range(10)))

        elsewhere = asyncio.to_thread(asyncio.run, add_many("there"))
        await asyncio.wait_for(asyncio.gather(elsewhere, add_many("here")), 3 * SECONDS)
        assert added
        assert sorted(await backend.get_buyer_session_ids("gold")) == sorted(added)

    @belongs(Level.FAULTS, Section.CONCURRENCY)
    def test_one_instance_in_one_event_loop_after_the_other(self, new_backend: NewBackend) -> None:
        backend = new_backend()

        async def count() -> Leftovers:
            return Leftovers()

        async def first() -> None:
            await backend.connect()
            await backend.set("a", 1)

        async def second() -> None:
            await works_or_says_why(backend)
            async with asyncio.timeout(SECONDS):
                await backend.connect()
                await backend.set("a", 1)
                assert await backend.get("a") == 1
                assert await backend.update("a", lambda current: current) == 1
                await backend.disconnect()

        leftovers = asyncio.run(count())  # inside of a loop, because each has descriptors of its own
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # the first loop ends with the backend open: its mistake
            asyncio.run(first())
            asyncio.run(second())
            gc.collect()
        asyncio.run(leftovers.check())

    # --- other processes -------------------------------------------------------------------------------

    @belongs(Level.FAULTS, Section.CONCURRENCY)
    async def test_forgotten_disconnect_does_not_hold_up_the_exit(self, new_backend: NewBackend) -> None:
        await run_elsewhere(new_backend, forget_to_disconnect, "a", seconds=SECONDS)
        async with new_backend() as backend:
            if backend.capabilities.durable:
                assert await backend.get("a") == "written"

    @belongs(Level.FAULTS, Section.CONCURRENCY)
    @pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no os.fork here")
    async def test_forked_child_works_or_gets_a_clear_error(self, backend: StorageBackend) -> None:
        await backend.set("a", 1)
        waiting = asyncio.ensure_future(backend.update("a", lambda current: current))
        await asyncio.sleep(0)  # it has its turn, which the child sees as held by somebody who never ends

        async def child() -> None:
            await works_or_says_why(backend)
            try:
                async with asyncio.timeout(SECONDS):
                    await backend.connect()
                    await backend.set("child", 3)
                    assert await backend.get("child") == 3
                    assert await backend.update("a", lambda current: current) in (1, None)
                    await backend.disconnect()
            except StorageError:
                pass  # a clear error will do

        await in_forked_child(child, 3 * SECONDS)
        async with asyncio.timeout(SECONDS):
            assert await waiting == 1
        assert await works_or_says_why(backend), "the parent can go on"
        assert await backend.get("b") == 2
