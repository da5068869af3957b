"""Plain sqlite3 beside the backend: what another program, or an older seller agent, does with the file."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

import aiosqlite

from ad_seller.storage.sqlite_backend import SQLiteBackend

R = TypeVar("R")

JOBS = "tests.sqlite.jobs"

#: What the older agent creates.
OLDER_SCHEMA = """
    CREATE TABLE IF NOT EXISTS kv_store (key TEXT PRIMARY KEY, value TEXT NOT NULL, expires_at REAL);
    CREATE INDEX IF NOT EXISTS idx_expires_at ON kv_store(expires_at);
"""


@contextmanager
def plain(path: Path, *, timeout: float = 5.0) -> Iterator[sqlite3.Connection]:
    """A connection in autocommit mode."""
    db = sqlite3.connect(path, timeout=timeout, isolation_level=None)
    try:
        yield db
    finally:
        db.close()


def execute(path: Path, statement: str, *parameters: Any, timeout: float = 5.0) -> list[Any]:
    """Execute one statement and return its rows."""
    with plain(path, timeout=timeout) as db:
        return db.execute(statement, parameters).fetchall()


def older_set(path: Path, key: str, value: Any, expires_at: float | None = None) -> None:
    """Write as the older agent does."""
    statement = "INSERT OR REPLACE INTO kv_store (key, value, expires_at) VALUES (?, ?, ?)"
    execute(path, statement, key, json.dumps(value), expires_at)


def older_get(path: Path, key: str) -> Any:
    """Read as the older agent does."""
    [(text,)] = execute(path, "SELECT value FROM kv_store WHERE key = ?", key)
    return json.loads(text)


def make_older_file(path: Path) -> None:
    """Make the file of an older agent, in SQLite's older log mode."""
    with plain(path) as db:
        db.execute("PRAGMA journal_mode = DELETE")
        db.executescript(OLDER_SCHEMA)


def write_lock_is_free(path: Path) -> bool:
    """Tell whether another connection can write at once, without any waiting."""
    with plain(path, timeout=0) as db:
        try:
            db.execute("BEGIN IMMEDIATE")
        except sqlite3.OperationalError:
            return False
        db.execute("ROLLBACK")
        return True


def is_intact(path: Path) -> bool:
    """Tell whether SQLite finds no fault in the file."""
    return execute(path, "PRAGMA integrity_check") == [("ok",)]


async def settle(store: SQLiteBackend, looked_at: str) -> None:
    """Write until a look goes to what is meant."""
    database = store._shared.current
    assert database is not None
    assert database._file is not None
    while looked_at == "their folder" and database._file._names._settled is None:
        await store.set("key", await store.get("key"))


async def reader_of(storage: SQLiteBackend) -> aiosqlite.Connection:
    """Return the connection that listings read over, open."""
    await storage.keys()
    assert storage._shared.current is not None
    return storage._shared.current.reader.connection


async def counted(storage: SQLiteBackend, search: Callable[[], Awaitable[R]]) -> tuple[int, R]:
    """Return how many tens of steps SQLite takes for a search, and what it finds."""
    count = 0

    def count_on() -> int:
        nonlocal count
        count += 1
        return 0

    reader = await reader_of(storage)
    await reader.set_progress_handler(count_on, 10)
    found = await search()
    await reader.set_progress_handler(lambda: 0, 1_000_000)
    return count, found
