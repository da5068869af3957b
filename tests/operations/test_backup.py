"""Backups of SQLite: all that was acknowledged is in them, and a restore loses nothing that was there."""

from __future__ import annotations

import asyncio
import os
import sqlite3
import stat
import time
from contextlib import closing
from pathlib import Path

import pytest

from ad_seller.storage import InvalidArgumentError, StorageBackend, StoreUnavailableError, UnsupportedError
from ad_seller.storage.operations import backup, restore
from ad_seller.storage.sqlite_backend import SQLiteBackend
from tests.full_disk import small_files
from tests.operations.jobs import filled
from tests.processes import started_job
from tests.runtime.stores import store

__all__ = ["store"]


def opened(path: Path) -> SQLiteBackend:
    return SQLiteBackend(f"sqlite:///{path}")


def names(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()}


async def test_what_was_acknowledged_is_in_it_while_64_tasks_write(tmp_path: Path) -> None:
    path, file = tmp_path / "store.db", tmp_path / "backup.db"
    async with opened(path) as storage:
        await filled(storage, 20_000)
        acknowledged: list[str] = []
        stop = asyncio.Event()

        async def write(task: int) -> None:
            number = 0
            while not stop.is_set():
                key = f"order:{task:02}:{number:05}"
                await storage.set(key, {"n": number})
                acknowledged.append(key)
                number += 1

        writers = [asyncio.create_task(write(task)) for task in range(64)]
        async with asyncio.timeout(60):
            while len(acknowledged) < 500:  # noqa: ASYNC110 - nothing tells
                await asyncio.sleep(0.001)
        before = list(acknowledged)
        seen: list[tuple[int, int]] = []

        def told(done: int, total: int) -> None:
            seen.append((done, total))
            give_up = time.monotonic() + 60
            while len(seen) == 1 and len(acknowledged) == len(before) and time.monotonic() < give_up:
                time.sleep(0.001)  # at its first step it stays until others have written

        done = await backup(storage, file, progress=told)
        after = len(acknowledged)
        stop.set()
        await asyncio.gather(*writers)
        assert after > len(before)  # nobody waited for the backup
    assert done.size == file.stat().st_size
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    copied = [pages for pages in seen if pages != (1, 1)]  # which is told while the copy is looked through
    assert copied[-1][0] == copied[-1][1] > 50
    assert names(tmp_path) == {"store.db", "backup.db"}
    async with opened(file) as saved:
        keys = await saved.keys("order:*")
        assert set(before) <= set(keys)
        assert len(keys) + 20_000 == done.entries
        assert len(await saved.get_many(before)) == len(before)


async def test_restore_keeps_what_was_there(tmp_path: Path) -> None:
    path, file = tmp_path / "store.db", tmp_path / "backup.db"
    async with opened(path) as storage:
        await storage.set("deal:1", "saved")
        await storage.set("quote:1", 1, ttl=500)
        await backup(storage, file)
        await storage.set("deal:1", "newer")
        with pytest.raises(InvalidArgumentError, match="is connected"):
            await restore(storage, file)
        with pytest.raises(StoreUnavailableError, match="open in this process"):
            await restore(opened(path), file)
        assert await storage.get("deal:1") == "newer"
    link = tmp_path / "link.db"
    link.symlink_to(path)
    done = await restore(opened(link), file)
    assert done.entries == 2
    assert done.aside is not None
    assert done.aside.name.startswith("store.db.20")
    assert names(tmp_path) == {"store.db", "backup.db", "link.db", done.aside.name}
    for place, value in ((path, "saved"), (done.aside, "newer"), (file, "saved")):
        assert stat.S_IMODE(place.stat().st_mode) == 0o600
        async with opened(place) as storage:
            assert await storage.get("deal:1") == value
            assert (await storage.ttl("quote:1") or 0) > 400
    again = await restore(opened(path), file)
    assert again.aside != done.aside
    assert (await restore(opened(tmp_path / "new.db"), file)).aside is None


async def test_restore_waits_for_no_process_that_has_it_open(tmp_path: Path) -> None:
    path, file = tmp_path / "store.db", tmp_path / "backup.db"
    async with opened(path) as storage:
        await storage.set("deal:1", 1)
        await backup(storage, file)
    with started_job("tests.operations.jobs", "hold", path) as job:
        assert job.stdout is not None
        job.stdout.readline()
        before = names(tmp_path)
        with pytest.raises(StoreUnavailableError, match="is in use"):
            await restore(opened(path), file)
        assert names(tmp_path) == before


async def test_a_log_of_the_old_file_is_never_beside_the_new_one(tmp_path: Path) -> None:
    path, file = tmp_path / "store.db", tmp_path / "backup.db"
    async with opened(path) as storage:
        await storage.set("deal:1", "saved")
        await backup(storage, file)
    path.write_bytes(b"damaged" * 1_000)
    Path(f"{path}-wal").write_bytes(b"log")
    done = await restore(opened(path), file)
    assert done.aside is not None
    assert done.aside.read_bytes().startswith(b"damaged")
    assert Path(f"{done.aside}-wal").read_bytes() == b"log"
    assert not Path(f"{path}-wal").exists()
    async with opened(path) as storage:
        assert await storage.get("deal:1") == "saved"


async def test_a_damaged_file_is_no_backup(tmp_path: Path) -> None:
    path, file = tmp_path / "store.db", tmp_path / "backup.db"
    async with opened(path) as storage:
        await filled(storage, 5_000)
        await backup(storage, file)
    data = bytearray(path.read_bytes())
    for page in range(20, 40):
        data[page * 4_096 : page * 4_096 + 200] = b"\xff" * 200
    path.write_bytes(data)
    good = file.read_bytes()
    async with opened(path) as storage:
        with pytest.raises(StoreUnavailableError, match="damaged"):
            await backup(storage, file)
    assert file.read_bytes() == good
    with pytest.raises(StoreUnavailableError, match="damaged"):
        await restore(opened(tmp_path / "other.db"), path)
    assert names(tmp_path) == {"store.db", "backup.db"}


async def test_what_is_no_backup_of_a_store(tmp_path: Path) -> None:
    (tmp_path / "text").write_text("hello")
    with closing(sqlite3.connect(tmp_path / "foreign.db")) as db:
        db.execute("CREATE TABLE t (a)")
    async with opened(tmp_path / "store.db") as storage:
        await storage.set("deal:1", 1)
        with pytest.raises(InvalidArgumentError, match="store itself"):
            await backup(storage, tmp_path / "store.db")
        with pytest.raises(StoreUnavailableError, match="Cannot write"):
            await backup(storage, tmp_path / "no" / "folder.db")
    before = names(tmp_path)
    for name, reason in (("text", "not a database"), ("foreign.db", "no such table"), ("nothing", "no backup")):
        with pytest.raises(StoreUnavailableError, match=reason):
            await restore(opened(tmp_path / "store.db"), tmp_path / name)
    with pytest.raises(InvalidArgumentError, match="store itself"):
        await restore(opened(tmp_path / "store.db"), tmp_path / "store.db")
    assert names(tmp_path) == before


async def test_a_full_disk(tmp_path: Path) -> None:
    path, file = tmp_path / "store.db", tmp_path / "backup.db"
    async with opened(path) as storage:
        await filled(storage, 20_000)
        file.write_bytes(b"older")
        with small_files(200_000), pytest.raises(StoreUnavailableError, match="Cannot write"):
            await backup(storage, file)
        assert file.read_bytes() == b"older"
        await backup(storage, file)
    before = path.read_bytes()
    with small_files(200_000), pytest.raises(StoreUnavailableError, match="Cannot write"):
        await restore(opened(path), file)
    assert path.read_bytes() == before
    assert names(tmp_path) == {"store.db", "backup.db"}


async def test_a_backup_that_is_cancelled_leaves_nothing(tmp_path: Path) -> None:
    loop = asyncio.get_running_loop()
    async with opened(tmp_path / "store.db") as storage:
        await filled(storage, 200)

        async def cancelled() -> None:
            task.cancel()
            for _ in range(10):  # turns of the loop: it has heard of it
                await asyncio.sleep(0)

        def told(done: int, total: int) -> None:
            asyncio.run_coroutine_threadsafe(cancelled(), loop).result()

        task = asyncio.create_task(backup(storage, tmp_path / "backup.db", progress=told))
        with pytest.raises(asyncio.CancelledError):
            await task
        assert not [name for name in os.listdir(tmp_path) if "backup" in name]  # noqa: PTH208
        await storage.set("deal:1", 1)


async def test_other_engines_are_told_what_to_use(store: StorageBackend) -> None:
    if isinstance(store, SQLiteBackend) and store.path != ":memory:":
        return
    async with store:
        with pytest.raises(UnsupportedError, match="pg_dump"):
            await backup(store, "x")
    with pytest.raises(UnsupportedError):
        await restore(store, "x")
