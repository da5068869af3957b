"""SQLite, and memory."""

from __future__ import annotations

import sqlite3
from pathlib import Path

import pytest

from ad_seller.storage import StorageError
from ad_seller.storage.memory_backend import MemoryBackend
from ad_seller.storage.sqlite import statements
from ad_seller.storage.sqlite_backend import SQLiteBackend

from .provoking import TIMEOUT, disconnected, failed, provokes, refused


@provokes("SQLite", "another process holds the write lock for longer than the time-out")
async def _(path: Path, request: pytest.FixtureRequest) -> StorageError:
    async with SQLiteBackend(str(path), timeout=TIMEOUT) as store:
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
    return await disconnected(SQLiteBackend(str(path)))


@provokes("memory", "disconnected")
async def _(path: Path, request: pytest.FixtureRequest) -> StorageError:
    return await disconnected(MemoryBackend())
