"""Threads without await beside threads with event loops, on one backend of each kind."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from contextlib import suppress

import pytest

from ad_seller.storage import NotConnectedError, StorageBackend
from ad_seller.storage.runtime import sessions
from ad_seller.storage.sync import SyncStorage, SyncTransaction
from tests.amounts import times
from tests.runtime.loop_jobs import in_threads, transfer
from tests.runtime.stores import store as store

INCREMENTS = times(30, in_ci=100, at_most=500)  #: of each thread
#: Between loops the promises of two processes hold: on a busy machine one can lose more often than the 100 times of
#: `increment`, which then says so. What counts here is that the sums are exact.
ATTEMPTS = 10_000
TRANSFERS = times(3, in_ci=5, at_most=17)  #: of each thread


def add_one(current: int | None) -> int:
    return (current or 0) + 1


def move(tx: SyncTransaction) -> None:
    tx.update("left", lambda amount: amount - 1)
    tx.update("right", lambda amount: amount + 1)


def without_await(storage: SyncStorage) -> None:
    for number in range(INCREMENTS):
        storage.update("counter", add_one, attempts=ATTEMPTS)
        if number % 10 == 0 and number // 10 < TRANSFERS:
            storage.transact(move, attempts=ATTEMPTS)
            assert sum(storage.get_many(["left", "right"]).values()) == 1_000  # one moment


async def with_loop(store: StorageBackend) -> None:
    async def count_up() -> None:
        for _ in range(INCREMENTS):
            await store.update("counter", add_one, attempts=ATTEMPTS)

    await asyncio.gather(count_up(), transfer(store, TRANSFERS))


def test_increments_and_transfers_are_exact(store: StorageBackend) -> None:
    """Four threads without await, eight with event loops; 6,000 increments and 204 transfers with ALL_TESTS."""
    storage = SyncStorage(store)
    storage.connect()
    storage.set_many({"left": 1_000, "right": 0})
    with threads(lambda: without_await(storage), 4):
        in_threads(asyncio.run, [lambda: with_loop(store)] * 8)
    assert storage.get("counter") == 12 * INCREMENTS
    assert storage.get_many(["left", "right"]) == {"left": 1_000 - 12 * TRANSFERS, "right": 12 * TRANSFERS}


def test_a_disconnect_in_an_event_loop_that_uses_the_store_does_not_wait_for_it(
    store: StorageBackend, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As in a notebook: the event loop waits for this very call, and answers nobody meanwhile."""

    async def cell() -> None:
        await store.connect()
        await store.set("key", 1)
        writing = asyncio.create_task(store.set("key", 2))
        await asyncio.sleep(0)
        SyncStorage(store).disconnect()
        async with asyncio.timeout(20):
            with suppress(NotConnectedError):
                await writing
        await store.connect()
        assert await store.get("key") in (None, 1, 2)
        await store.disconnect()

    monkeypatch.setattr(sessions, "_GRACE", 1_000.0)  # for which it would be waited
    in_threads(asyncio.run, [cell])


class threads:  # noqa: N801 - reads as a statement
    """Run a job in several threads beside the block, and raise what the first failing one raised."""

    def __init__(self, job: Callable[[], None], number: int) -> None:
        self._failures: list[BaseException] = []
        self._threads = [threading.Thread(target=self._run, args=(job,)) for _ in range(number)]

    def _run(self, job: Callable[[], None]) -> None:
        try:
            job()
        except BaseException as error:
            self._failures.append(error)

    def __enter__(self) -> None:
        for thread in self._threads:
            thread.start()

    def __exit__(self, *error: object) -> None:
        for thread in self._threads:
            thread.join(100)
            assert not thread.is_alive(), "a thread hangs"
        if self._failures and error[1] is None:
            raise self._failures[0]
