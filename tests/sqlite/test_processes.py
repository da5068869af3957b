"""Several processes on one file: they wait for each other, and a crash loses nothing that was acknowledged."""

from __future__ import annotations

import asyncio
import random
import sqlite3
import subprocess
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest

from ad_seller.storage import StorageError, StorageTimeoutError
from ad_seller.storage.sqlite.engine import SQLiteEngine
from ad_seller.storage.sqlite_backend import SQLiteBackend
from tests.engines import engine_of
from tests.processes import started_job

from .support import JOBS, execute, is_intact, older_set, plain

#: Seconds that a loaded machine may add to what is measured.
TOLERANCE = 4.0


def finish(jobs: list[subprocess.Popen[str]], seconds: float = 60) -> None:
    """Wait until all have ended, and fail if one of them failed."""
    for job in jobs:
        _, errors = job.communicate(timeout=seconds)
        assert job.returncode == 0, errors


@contextmanager
def lock_held(path: Path) -> Iterator[None]:
    """Another process holds the write lock."""
    with started_job(JOBS, "hold_the_lock", path) as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == "held\n"
        yield


def test_four_processes_write_one_file(path: Path) -> None:
    """Beside ours, an older agent with its own statements; nobody is told that the database is locked."""
    with ExitStack() as stack:
        jobs = [stack.enter_context(started_job(JOBS, "write", path, f"p{n}:", 500)) for n in range(4)]
        while not path.exists() or not execute(path, "SELECT 1 FROM sqlite_master WHERE name = 'kv_store'"):
            time.sleep(0.01)
        for number in range(50):
            older_set(path, f"older:{number}", number)
        finish(jobs)
    rows = execute(path, "SELECT substr(key, 1, 3), count(*) FROM kv_store GROUP BY 1 ORDER BY 1")
    assert rows == [("old", 50), ("p0:", 500), ("p1:", 500), ("p2:", 500), ("p3:", 500)]
    assert is_intact(path)


def test_many_processes_start_at_once_on_a_new_file(path: Path) -> None:
    with ExitStack() as stack:
        jobs = [stack.enter_context(started_job(JOBS, "start_with_others", path, f"p{n}")) for n in range(12)]
        for job in jobs:
            assert job.stdout is not None
            assert job.stdout.readline() == "ready\n"
        for job in jobs:
            assert job.stdin is not None
            job.stdin.write("\n")
            job.stdin.flush()
        finish(jobs)
    assert execute(path, "SELECT count(*) FROM kv_store") == [(12,)]
    assert is_intact(path)


def test_killed_writers_lose_nothing_that_was_acknowledged(path: Path) -> None:
    """20 rounds of `kill -9` in the middle of writing, on one file."""
    acknowledged: set[str] = set()
    chance = random.Random(20)
    for number in range(20):
        with started_job(JOBS, "write_for_ever", path, f"round{number}") as writer:
            assert writer.stdout is not None
            lines = [writer.stdout.readline() for _ in range(chance.randrange(1, 100))]
            time.sleep(chance.uniform(0, 0.02))
            writer.kill()
            lines += writer.stdout.readlines()
        keys = {line.strip() for line in lines if line.endswith("\n")}
        assert keys
        acknowledged |= keys
        with plain(path) as db:
            assert db.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
            stored = dict(db.execute("SELECT key, value FROM kv_store"))
        assert acknowledged <= stored.keys()
        assert all(f'"key":"{key}"' in text for key, text in stored.items())
    assert len(acknowledged) > 500


async def test_a_write_waits_for_the_lock_and_then_says_so(path: Path) -> None:
    async with SQLiteBackend(str(path), timeout=0.6) as store:
        await store.set_many({"key": "old", "other": "old", "counter": 1})
        with lock_held(path):
            for _ in range(2):
                started = time.monotonic()
                writes = [
                    asyncio.create_task(write)
                    for write in (
                        store.set("key", "new"),
                        store.set("new", "new", ttl=60),
                        store.set_many({"key": "new", "other": "new"}),
                        store.delete("key"),
                        store.create("created", 1),
                        store.increment("counter"),
                        store.compare_and_set("key", "old", "new"),
                        store.expire("key", 60),
                    )
                ]
                while time.monotonic() - started < 0.3:  # reads go on meanwhile: the lock is not given up
                    assert await store.get("key") == "old"
                    assert await store.keys() == ["counter", "key", "other"]
                errors = await asyncio.gather(*writes, return_exceptions=True)
                assert 0.55 < time.monotonic() - started < 0.6 + TOLERANCE
                for error in errors:
                    assert isinstance(error, StorageTimeoutError), repr(error)
                    assert "written" in str(error)
                    assert error.key is not None
                    cause = error.__cause__
                    while isinstance(cause, Exception) and not isinstance(cause, sqlite3.Error):
                        cause = cause.__cause__
                    assert isinstance(cause, sqlite3.OperationalError)
        await store.set("after", 1)  # works at once when the lock is free
        assert await store.scan() == ([("after", 1), ("counter", 1), ("key", "old"), ("other", "old")], None)


async def test_a_write_that_waits_succeeds_when_the_lock_is_given_up(path: Path) -> None:
    async with SQLiteBackend(str(path)) as store:
        with lock_held(path):
            write = asyncio.create_task(store.set("key", 1))
            await asyncio.sleep(0.25)
            assert not write.done()
        await asyncio.wait_for(write, TOLERANCE)
        assert await store.get("key") == 1


async def test_a_cancelled_write_stops_waiting_for_the_lock_at_once(path: Path) -> None:
    async with SQLiteBackend(str(path)) as store:
        with lock_held(path):
            writes = [asyncio.create_task(store.set(f"key{number}", 1)) for number in range(10)]
            await asyncio.sleep(0.15)
            started = time.monotonic()
            for write in writes:
                write.cancel()
            results = await asyncio.gather(*writes, return_exceptions=True)
            assert time.monotonic() - started < TOLERANCE
            assert all(isinstance(result, asyncio.CancelledError) for result in results)
            engine = await engine_of(store)
            assert isinstance(engine, SQLiteEngine)
            await engine._database.writer.run(lambda: None)  # what was under way has ended without the lock
        await store.set("last", 1)
        assert await store.keys() == ["last"]


async def test_disconnect_is_not_held_up_by_a_cancelled_write(path: Path) -> None:
    store = SQLiteBackend(str(path))
    await store.connect()
    with lock_held(path):
        write = asyncio.create_task(store.set("key", 1))
        await asyncio.sleep(0.05)
        write.cancel()
        started = time.monotonic()
        await store.disconnect()
        assert time.monotonic() - started < TOLERANCE
        with pytest.raises(asyncio.CancelledError):
            await write


async def test_opening_a_new_file_waits_for_the_lock_and_then_says_so(path: Path) -> None:
    path.touch()
    store = SQLiteBackend(str(path), timeout=0.4)
    with lock_held(path):
        started = time.monotonic()
        with pytest.raises(StorageTimeoutError, match=r"store\.db.*lock"):
            await store.connect()
        assert 0.3 < time.monotonic() - started < 2 * 0.4 + TOLERANCE
    async with store:
        await store.set("key", 1)


async def test_opening_does_not_need_the_lock(path: Path) -> None:
    async with SQLiteBackend(str(path)) as store:
        await store.set("key", 1)
    with lock_held(path):
        started = time.monotonic()
        async with SQLiteBackend(str(path)) as store:
            assert await store.get("key") == 1
        assert time.monotonic() - started < TOLERANCE


async def test_a_long_reader_elsewhere_does_not_hold_up_writes(path: Path) -> None:
    async with SQLiteBackend(str(path)) as store:
        await store.set("key", 0)
        with plain(path) as db:
            db.execute("BEGIN")
            assert db.execute("SELECT value FROM kv_store").fetchall() == [("0",)]
            for number in range(200):
                await store.set("key", number)
            assert db.execute("SELECT value FROM kv_store").fetchall() == [("0",)]
        assert await store.get("key") == 199


async def test_only_our_errors_when_the_file_is_locked_exclusively(path: Path) -> None:
    """An older agent's file that could not become a WAL, because another process reads it without end."""
    async with SQLiteBackend(str(path)) as store:
        await store.set("key", 1)
    with plain(path) as db:
        db.execute("PRAGMA locking_mode = EXCLUSIVE")
        db.execute("UPDATE kv_store SET value = '2'")
        other = SQLiteBackend(str(path), timeout=0.3)
        started = time.monotonic()
        with pytest.raises(StorageError, match=r"store\.db"):
            await other.connect()
        assert time.monotonic() - started < 1 + TOLERANCE
    async with SQLiteBackend(str(path)) as store:
        assert await store.get("key") == 2
    assert [file.name for file in path.parent.iterdir()] == ["store.db"]
