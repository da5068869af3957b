"""The table of failures in docs/design.md, walked through: each row is provoked on a real engine."""

from __future__ import annotations

import asyncio
import re
import socket
import sqlite3
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import NamedTuple

import pytest

from ad_seller.storage import StorageBackend, StorageError
from ad_seller.storage.memory_backend import MemoryBackend
from ad_seller.storage.postgres_backend import PostgresBackend
from ad_seller.storage.redis_backend import RedisBackend
from ad_seller.storage.sqlite import openfiles, statements
from ad_seller.storage.sqlite_backend import SQLiteBackend
from ad_seller.storage.testing.postgres_server import PostgresServer
from ad_seller.storage.testing.redis_nodes import ask
from ad_seller.storage.testing.servers import RedisServer
from tests.docs_samples import ROOT
from tests.proxy import Proxy

_TIMEOUT = 0.7  #: seconds that a call waits where it is to run out of time


class Row(NamedTuple):
    """A line of the table."""

    engine: str
    happened: str
    known: str
    told: str


def rows() -> list[Row]:
    """Read the table from the page."""
    section = (ROOT / "docs" / "design.md").read_text().partition("\n## Failures\n")[2].partition("\n## ")[0]
    cells = [
        [cell.strip() for cell in line.strip("|").split("|")] for line in section.splitlines() if line[:1] == "|"
    ]
    return [Row(*line) for line in cells[2:]]


async def failed(call: Awaitable[object]) -> StorageError:
    """Return the error of ours that a call raises."""
    with pytest.raises(StorageError) as caught:
        await call
    return caught.value


async def refused(store: StorageBackend) -> StorageError:
    """Return the error of a write, which must have changed nothing."""
    error = await failed(store.set("key", "new"))
    assert error.key == "key"
    return error


Provoke = Callable[[Path, pytest.FixtureRequest], Awaitable[StorageError]]
PROVOKED: dict[tuple[str, str], Provoke] = {}


def provokes(engine: str, happened: str) -> Callable[[Provoke], Provoke]:
    """Mark what provokes a row."""

    def mark(function: Provoke) -> Provoke:
        PROVOKED[engine, happened] = function
        return function

    return mark


def test_each_row_is_provoked_and_nothing_else() -> None:
    assert [(row.engine, row.happened) for row in rows()] == list(PROVOKED)


@pytest.mark.parametrize("row", rows(), ids=lambda row: f"{row.engine}: {row.happened}")
async def test_the_caller_gets_what_the_table_says(
    row: Row, tmp_path: Path, request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(openfiles, "_WATCH", 600)  # only calls notice what happens to files
    error = await PROVOKED[row.engine, row.happened](tmp_path / "store.db", request)
    assert f"`{type(error).__name__}`" == row.told
    assert re.search(r"[a-z]", str(error))


# --- SQLite ----------------------------------------------------------------------------------------------


@provokes("SQLite", "another process holds the write lock for longer than the time-out")
async def _(path: Path, request: pytest.FixtureRequest) -> StorageError:
    async with SQLiteBackend(str(path), timeout=_TIMEOUT) as store:
        await store.set("key", "old")
        db = sqlite3.connect(path, isolation_level=None)
        db.execute("BEGIN IMMEDIATE")
        error = await refused(store)
        db.execute("ROLLBACK")
        db.close()
        assert await store.get("key") == "old"
    return error


@provokes("SQLite", "the disk is full, or the file may not grow")
async def _(path: Path, request: pytest.FixtureRequest) -> StorageError:
    async with SQLiteBackend(str(path)) as store:
        await store.set("key", "old")
        assert store._connection is not None
        await (await store._connection.execute("PRAGMA max_page_count = 5")).close()
        error = await failed(store.set("key", "x" * 100_000))
        assert await store.get("key") == "old"
    return error


@provokes("SQLite", "the file was moved, deleted or replaced")
async def _(path: Path, request: pytest.FixtureRequest) -> StorageError:
    async with SQLiteBackend(str(path)) as store:
        await store.set("key", "old")
        path.rename(path.with_name("moved.db"))
        return await refused(store)


@provokes("SQLite", "its log was removed")
async def _(path: Path, request: pytest.FixtureRequest) -> StorageError:
    async with SQLiteBackend(str(path)) as store:
        await store.set("key", "old")
        path.with_name("store.db-wal").unlink()
        error = await refused(store)
        assert await store.get("key") == "old"
    return error


@provokes("SQLite", "its log was removed while it was written")
async def _(path: Path, request: pytest.FixtureRequest) -> StorageError:
    apply = statements.apply

    def removed_meanwhile(*arguments: object) -> object:
        outcomes = apply(*arguments)  # type: ignore[arg-type]
        path.with_name("store.db-wal").unlink()
        return outcomes

    async with SQLiteBackend(str(path)) as store:
        await store.set("key", "old")
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(statements, "apply", removed_meanwhile)
            return await failed(store.set("key", "new"))


@provokes("SQLite", "the file is damaged")
async def _(path: Path, request: pytest.FixtureRequest) -> StorageError:
    async with SQLiteBackend(str(path)) as store:
        await store.set_many({f"{number:04}": "x" * 500 for number in range(500)})
    with path.open("r+b") as file:
        file.seek(2 * 4096)
        file.write(b"\xa5" * (path.stat().st_size - 4 * 4096))
    async with SQLiteBackend(str(path)) as store:
        return await failed(store.set("0250", "new"))


@provokes("SQLite", "the file has a second name")
async def _(path: Path, request: pytest.FixtureRequest) -> StorageError:
    path.touch()
    path.with_name("other.db").hardlink_to(path)
    return await failed(SQLiteBackend(str(path)).connect())


@provokes("SQLite", "the path is a folder")
async def _(path: Path, request: pytest.FixtureRequest) -> StorageError:
    path.mkdir()
    return await failed(SQLiteBackend(str(path)).connect())


@provokes("SQLite", "a stored text is no JSON")
async def _(path: Path, request: pytest.FixtureRequest) -> StorageError:
    async with SQLiteBackend(str(path)) as store:
        db = sqlite3.connect(path, isolation_level=None)
        db.execute("INSERT INTO kv_store (key, value) VALUES ('key', 'no json')")
        error = await failed(store.get("key"))
        assert error.key == "key"
        assert db.execute("SELECT value FROM kv_store").fetchall() == [("no json",)]
        db.close()
    return error


@provokes("SQLite", "disconnected")
async def _(path: Path, request: pytest.FixtureRequest) -> StorageError:
    return await _disconnected(SQLiteBackend(str(path)))


@provokes("memory", "disconnected")
async def _(path: Path, request: pytest.FixtureRequest) -> StorageError:
    return await _disconnected(MemoryBackend())


async def _disconnected(store: StorageBackend) -> StorageError:
    async with store:
        await store.set("key", "old")
    error = await failed(store.set("key", "new"))
    async with store:
        assert await store.get("key") == "old"
    return error


# --- servers ---------------------------------------------------------------------------------------------


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


async def _held(store: StorageBackend, proxy: Proxy, call: Callable[[], Awaitable[object]]) -> StorageError:
    """Return the error of a call whose request arrives and whose answer does not."""
    async with store:
        await store.set("key", "old")
        proxy.hold = True
        error = await failed(call())
        proxy.hold = False
        await asyncio.sleep(0.1)
        for _ in range(50):  # whatever is left of broken connections
            try:
                assert await store.get("key") in ("old", "new")
                break
            except StorageError:
                await asyncio.sleep(0.1)
    return error


@provokes("Redis", "nobody listens")
async def _(path: Path, request: pytest.FixtureRequest) -> StorageError:
    return await failed(RedisBackend(f"redis://127.0.0.1:{free_port()}/0").connect())


@provokes("Redis", "no memory is left")
async def _(path: Path, request: pytest.FixtureRequest) -> StorageError:
    with RedisServer(path.with_name("redis")) as server:
        async with RedisBackend(f"redis://127.0.0.1:{server.port}/0") as store:
            await store.set("key", "old")
            ask(server, "CONFIG", "SET", "maxmemory", "1")
            error = await refused(store)
            ask(server, "CONFIG", "SET", "maxmemory", "0")
            assert await store.get("key") == "old"
    return error


@provokes("Redis", "a write was sent, no answer came in time")
async def _(path: Path, request: pytest.FixtureRequest) -> StorageError:
    with RedisServer(path.with_name("redis")) as server, Proxy(server.port) as proxy:
        store = RedisBackend(f"redis://127.0.0.1:{proxy.port}/0", timeout=_TIMEOUT)
        return await _held(store, proxy, lambda: store.set("key", "new"))


@provokes("Redis", "a read was sent, no answer came in time")
async def _(path: Path, request: pytest.FixtureRequest) -> StorageError:
    with RedisServer(path.with_name("redis")) as server, Proxy(server.port) as proxy:
        store = RedisBackend(f"redis://127.0.0.1:{proxy.port}/0", timeout=_TIMEOUT)
        return await _held(store, proxy, lambda: store.get("key"))


@provokes("PostgreSQL", "nobody listens")
async def _(path: Path, request: pytest.FixtureRequest) -> StorageError:
    return await failed(PostgresBackend(f"postgresql://postgres@127.0.0.1:{free_port()}/postgres").connect())


@provokes("PostgreSQL", "a write was sent, no answer came in time")
async def _(path: Path, request: pytest.FixtureRequest) -> StorageError:
    with Proxy(_postgres(request).port) as proxy:
        store = _through(request, proxy)
        return await _held(store, proxy, lambda: store.set("key", "new"))


@provokes("PostgreSQL", "a read was sent, no answer came in time")
async def _(path: Path, request: pytest.FixtureRequest) -> StorageError:
    with Proxy(_postgres(request).port) as proxy:
        store = _through(request, proxy)
        return await _held(store, proxy, lambda: store.get("key"))


def _postgres(request: pytest.FixtureRequest) -> PostgresServer:
    server: PostgresServer = request.getfixturevalue("own_postgres")
    return server


def _through(request: pytest.FixtureRequest, proxy: Proxy) -> PostgresBackend:
    server = _postgres(request)
    return PostgresBackend(server.url().replace(f":{server.port}/", f":{proxy.port}/"), 1, 2, timeout=_TIMEOUT)
