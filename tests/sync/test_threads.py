"""Calls without await from other threads, from within a call, inside a running loop, and of the shared storage."""

from __future__ import annotations

import asyncio
import logging
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from ad_seller.storage import (
    LEAVE,
    NotConnectedError,
    TransactionError,
    WrongThreadError,
    factory,
)
from ad_seller.storage import get_storage as get_storage_async
from ad_seller.storage.memory_backend import MemoryBackend
from ad_seller.storage.sqlite_backend import SQLiteBackend
from ad_seller.storage.sync import (
    SyncStorage,
    close_storage,
    get_storage,
    open_url,
)


def test_a_call_that_would_wait_for_itself(storage: SyncStorage) -> None:
    calls: list[Callable[[], Any]] = [
        lambda: storage.get("other"),
        lambda: storage.set("other", 1),
        lambda: storage.transact(lambda tx: tx.get("other")),
        lambda: storage.transaction().__enter__(),
        lambda: storage.lease("l", 5).__enter__(),
    ]
    for call in calls:
        with pytest.raises(WrongThreadError, match="wait for itself"):
            storage.update("k", lambda _: call())  # noqa: B023 - it runs at once
    assert storage.keys("*") == []


def test_transactions_are_neither_nested_nor_shared(storage: SyncStorage) -> None:
    with storage.transaction() as tx:
        for inner in (
            lambda: storage.transact(lambda _: 1),
            lambda: storage.transaction().__enter__(),
            lambda: tx.__enter__(),
        ):
            with pytest.raises(TransactionError):
                inner()
        failures: list[BaseException] = []

        def elsewhere() -> None:
            try:
                tx.set("k", 1)
            except TransactionError as error:
                failures.append(error)

        thread = threading.Thread(target=elsewhere)
        thread.start()
        thread.join()
        assert "belongs to the thread" in str(failures[0])
        tx.set("k", 2)
    assert storage.get("k") == 2
    storage.transact(lambda tx: tx.set("k", 3))


def test_inside_a_running_loop_and_beside_asynchronous_code(storage: SyncStorage) -> None:
    async def main() -> None:
        await storage.backend.set("k", 1)
        assert storage.get("k") == 1
        storage.set("k", 2)
        assert await storage.backend.get("k") == 2
        await asyncio.gather(
            *(asyncio.to_thread(storage.increment, "n") for _ in range(20)),
            *(storage.backend.increment("n") for _ in range(20)),
        )
        assert storage.get("n") == 40

    asyncio.run(main())


@pytest.fixture
def nothing_shared(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("STORAGE_TYPE", "sqlite")
    monkeypatch.setenv("DATABASE_URL", "sqlite:///shared.db")
    monkeypatch.setattr(factory, "_shared", factory._Shared())


@pytest.mark.usefixtures("nothing_shared")
def test_the_shared_storage_is_that_of_the_asynchronous_code() -> None:
    storage = get_storage()
    try:
        assert asyncio.run(get_storage_async()) is storage.backend is get_storage().backend
        assert isinstance(storage.backend, SQLiteBackend)
        storage.set("k", 1)
    finally:
        close_storage()
    with pytest.raises(NotConnectedError):
        storage.get("k")


def test_one_loop_in_one_daemon_thread() -> None:
    with open_url("memory://") as one, open_url("memory://") as two:
        one.set("k", 1)
        two.set("k", 1)
        names = [thread for thread in threading.enumerate() if thread.name == "ad_seller.storage.sync"]
    assert len(names) == 1
    assert names[0].daemon


def test_the_loop_outlives_what_interrupts_it(caplog: pytest.LogCaptureFixture) -> None:
    class Odd(MemoryBackend):
        """Its author starts a task that leaves the interpreter."""

        async def exists(self, key: str) -> bool:
            async def leave() -> None:
                raise SystemExit(3)

            self.task = asyncio.get_running_loop().create_task(leave())
            return True

    with SyncStorage(odd := Odd()) as storage, caplog.at_level(logging.ERROR):
        assert storage.exists("k")
        storage.set("k", 1)
        assert storage.get_many(["k"]) == {"k": 1}
        assert storage.update("k", lambda _: LEAVE) == 1
    assert "it goes on" in caplog.text
    assert isinstance(odd.task.exception(), SystemExit)
