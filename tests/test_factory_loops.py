"""The shared storage in a web application's loop and in `asyncio.run` elsewhere, whichever comes first."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Awaitable, Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from fastapi import FastAPI
from fastapi.testclient import TestClient

from ad_seller.storage import StorageBackend, close_storage, factory, get_storage
from ad_seller.storage.sqlite_backend import SQLiteBackend
from ad_seller.storage.sync import close_storage as close_without_await
from ad_seller.storage.sync import get_storage as get_without_await
from tests.amounts import times
from tests.storms import Holdings

ROUNDS = times(50, in_ci=200)
RACES = 200  #: with 50 nobody met the same without a lock, with 200 one of two did


@pytest.fixture(autouse=True)
def settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A SQLite file, and nothing shared before or after."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("STORAGE_TYPE", "sqlite")
    monkeypatch.setenv("DATABASE_URL", "sqlite:///shared.db")
    monkeypatch.setattr(factory, "_shared", factory._Shared())


class ServerLoop:
    """An event loop that runs in a thread, as a web server's does."""

    def __init__(self) -> None:
        self.loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self.loop.run_forever)
        self._thread.start()

    def run(self, work: Callable[[], Awaitable[Any]]) -> Any:
        async def main() -> Any:
            return await work()

        return asyncio.run_coroutine_threadsafe(main(), self.loop).result(30)

    def close(self) -> None:
        self.run(self.loop.shutdown_asyncgens)
        self.loop.call_soon_threadsafe(self.loop.stop)
        self._thread.join(30)
        self.loop.close()


@pytest.fixture
def server() -> Iterator[ServerLoop]:
    """A loop in a thread; closed afterwards, with nothing left of it."""
    server = ServerLoop()
    yield server
    server.close()


async def held() -> Holdings:
    return Holdings()


async def use() -> StorageBackend:
    storage = await get_storage()
    await storage.increment("uses")
    return storage


def by_run() -> StorageBackend:
    return asyncio.run(use())


def without_await() -> StorageBackend:
    storage = get_without_await()
    storage.increment("uses")
    return storage.backend


@pytest.mark.parametrize("elsewhere", [by_run, without_await])
@pytest.mark.parametrize("server_first", [True, False])
def test_one_after_the_other(server: ServerLoop, elsewhere: Callable[[], Any], server_first: bool) -> None:
    """Both get the same storage, both can use it, and both can close it, each time."""

    def get_both() -> StorageBackend:
        order: list[Callable[[], StorageBackend]] = [lambda: server.run(use), elsewhere]
        first, second = (call() for call in (order if server_first else order[::-1]))
        assert first is second
        return first

    before = asyncio.run(held())
    for number in range(ROUNDS):
        storage = get_both()
        assert server.run(partial(storage.get, "uses")) == 2 * number + 2
        if number == 2:  # what stays open is open by now
            before = asyncio.run(held())
        if number % 2:
            server.run(close_storage)
        else:
            asyncio.run(close_storage())
    get_both()
    asyncio.run(before.settle())
    asyncio.run(close_storage())


@pytest.mark.parametrize("elsewhere", [by_run, without_await])
def test_at_the_same_time(server: ServerLoop, elsewhere: Callable[[], Any]) -> None:
    for number in range(RACES):
        begin = threading.Barrier(2)
        found: list[Any] = []

        async def in_server(begin: threading.Barrier = begin) -> StorageBackend:
            begin.wait(30)
            return await use()

        def in_thread(begin: threading.Barrier = begin, found: list[Any] = found) -> None:
            begin.wait(30)
            found.append(elsewhere())

        thread = threading.Thread(target=in_thread)
        thread.start()
        storage = server.run(in_server)
        thread.join(30)
        assert found == [storage]
        assert asyncio.run(storage.get("uses")) == 2 * number + 2
        close_without_await()


def test_closed_in_another_loop_while_it_connects(server: ServerLoop, monkeypatch: pytest.MonkeyPatch) -> None:
    """There was nothing to close yet: what is connected then is not a second shared storage that nobody closes."""
    begun, go_on = threading.Event(), threading.Event()
    connect = SQLiteBackend.connect
    made: list[SQLiteBackend] = []

    async def held(self: SQLiteBackend) -> None:
        made.append(self)
        if len(made) == 1:
            begun.set()
            await asyncio.to_thread(go_on.wait, 30)
        await connect(self)

    async def meanwhile() -> StorageBackend:
        await asyncio.to_thread(begun.wait, 30)
        await close_storage()
        storage = await use()
        go_on.set()
        return storage

    monkeypatch.setattr(SQLiteBackend, "connect", held)
    got = asyncio.run_coroutine_threadsafe(use(), server.loop)
    storage = asyncio.run(meanwhile())
    assert got.result(30) is storage
    assert asyncio.run(storage.get("uses")) == 2
    assert {one for one in made if one._is_connected()} == {storage}
    asyncio.run(close_storage())
    assert not any(one._is_connected() for one in made)


def test_a_test_client_without_with() -> None:
    """Each request has an event loop of its own: all of them are answered."""
    app = FastAPI()

    @app.post("/orders/{number}")
    async def add(number: int) -> int:
        storage = await get_storage()
        await storage.set_order(f"o{number}", {"status": "draft"})
        return await storage.increment("orders")

    @app.get("/orders")
    async def listed() -> list[Any]:
        return await (await get_storage()).list_orders({"status": "draft"})

    client = TestClient(app)
    answers = [client.post(f"/orders/{number}") for number in range(ROUNDS)]
    assert [answer.status_code for answer in answers] == [200] * ROUNDS
    assert [answer.json() for answer in answers] == list(range(1, ROUNDS + 1))
    assert len(client.get("/orders").json()) == ROUNDS
    asyncio.run(close_storage())
