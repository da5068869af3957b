"""What the SQLite tests have done by processes of their own: ``python -m tests.sqlite.jobs NAME ARGUMENTS``."""

from __future__ import annotations

import asyncio
import os
import re
import resource
import sqlite3
import sys
import traceback
from pathlib import Path

import pytest

from ad_seller.storage import StorageError, StoreUnavailableError
from ad_seller.storage.sqlite import openfiles
from ad_seller.storage.sqlite_backend import SQLiteBackend
from tests.processes import become_nobody, do_job, in_the_child
from tests.sqlite.support import execute


def write(path: str, prefix: str, count: str) -> None:
    """Write entries, ten at a time."""

    async def run() -> None:
        async with SQLiteBackend(path) as store:
            for start in range(0, int(count), 10):
                numbers = range(start, start + 10)
                await asyncio.gather(*(store.set(f"{prefix}{number}", {"n": number}) for number in numbers))

    asyncio.run(run())


def write_for_ever(path: str, prefix: str) -> None:
    """Write entries from several tasks, and print the key of each one that was acknowledged."""

    async def worker(store: SQLiteBackend, name: str) -> None:
        number = 0
        while True:
            key = f"{prefix}:{name}:{number}"
            await store.set(key, {"key": key, "padding": "x" * 300})
            os.write(1, f"{key}\n".encode())
            number += 1

    async def run() -> None:
        async with SQLiteBackend(path) as store:
            await asyncio.gather(*(worker(store, str(name)) for name in range(8)))

    asyncio.run(run())


def hold_the_lock(path: str) -> None:
    """Keep the write lock until the standard input ends."""
    with sqlite3.connect(path, isolation_level=None) as db:
        db.execute("BEGIN IMMEDIATE")
        print("held", flush=True)
        sys.stdin.read()
        db.execute("ROLLBACK")
    db.close()


def start_with_others(path: str, name: str) -> None:
    """Open the file when the standard input says so, and write an entry."""

    async def run() -> None:
        async with SQLiteBackend(path) as store:
            await store.set(name, name)
            assert await store.get(name) == name

    print("ready", flush=True)
    sys.stdin.readline()
    asyncio.run(run())


def fill_the_disk(path: str) -> None:
    """Write until no more fits, make room, and go on; a limit on the size of files stands for the disk."""

    async def run() -> None:
        async with SQLiteBackend(path) as store:
            await store.set("old", "intact")
            written = await _fill(store)
            assert written > 10, "the limit came too early"
            for key in ("old", "new"):
                with pytest.raises(StoreUnavailableError, match=re.escape(path)) as caught:
                    await store.set(key, "y" * 100_000)
                assert caught.value.key == key
            assert await store.get("old") == "intact"
            assert await store.get("new") is None
            assert await store.count("fill:*") == written
            resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
            await store.set("old", "y" * 100_000)
            await store.set("new", 1)
            assert await store.count("fill:*") == written

    resource.setrlimit(resource.RLIMIT_FSIZE, (1_000_000, resource.RLIM_INFINITY))
    asyncio.run(run())


async def _fill(store: SQLiteBackend) -> int:
    for number in range(1000):
        try:
            await store.set(f"fill:{number}", "x" * 10_000)
        except StoreUnavailableError:
            return number
    raise AssertionError("the limit on the size of files had no effect")


def fail_to_open(path: str, action: str) -> None:
    """As a user without rights: open the file, or open it and write; print the error."""
    become_nobody()

    async def run() -> None:
        store = SQLiteBackend(path, timeout=2)
        try:
            await store.connect()
            if action == "write":
                await store.set("key", "new")
        finally:
            await store.disconnect()

    try:
        asyncio.run(run())
    except StorageError as error:
        print(type(error).__name__, error, sep="\n")
    except Exception:
        traceback.print_exc()
        sys.exit(1)


def lose_the_right_to_write(path: str) -> None:
    """Open the file, and write when it has become read-only."""
    become_nobody()

    async def run() -> None:
        async with SQLiteBackend(path) as store:
            await store.set("key", "old")
        Path(path).chmod(0o444)
        async with SQLiteBackend(path) as store:
            await store.set("key", "new")

    try:
        asyncio.run(run())
    except StoreUnavailableError as error:
        print(error)


def fork_while_connected(path: str, instance: str) -> None:
    """Fork while the file is open: the child tries to use it, the parent and later processes go on."""

    async def child(store: SQLiteBackend) -> None:
        mine = store if instance == "the parent's" else SQLiteBackend(path)
        for call in (store.get("key"), store.set("key", "of the child"), mine.connect(), mine.set("key", 1)):
            try:
                await call
            except StorageError as error:
                print(type(error).__name__, error)
            else:
                print("the child was allowed in")
        await mine.disconnect()

    async def run() -> None:
        store = SQLiteBackend(path)
        await store.connect()
        await store.set("parent:first", 1)
        pid = os.fork()
        if pid == 0:
            in_the_child(child(store))
        for number in range(300):
            await store.set(f"parent:{number}", "x" * 300)
        await store.disconnect()
        assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0

    asyncio.run(run())
    for number in range(3):
        write(path, f"late:{number}", "0")
        execute(Path(path), "INSERT INTO kv_store (key, value) VALUES (?, '1')", f"late:{number}")


def fork_while_not_connected(path: str) -> None:
    """Fork before the first connect, and after a disconnect."""
    store = SQLiteBackend(path)

    async def use(key: str) -> None:
        async with store:
            await store.set(key, 1)
            assert await store.get(key) == 1

    async def run() -> None:
        await use("parent")
        pid = os.fork()
        if pid == 0:
            in_the_child(use("child"))
        assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0
        await use("parent again")

    asyncio.run(run())


def write_when_told(path: str) -> None:
    """Have the file open and do nothing; write once for each line that comes, and print what was told."""
    openfiles._WATCH = 600  # only calls notice what happens to the files

    async def run() -> None:
        async with SQLiteBackend(path) as store:
            await store.set("theirs", 0)
            print("open", flush=True)
            for number, _ in enumerate(sys.stdin, 1):
                try:
                    await store.set("theirs", number)
                except StorageError as error:
                    print(type(error).__name__, flush=True)
                else:
                    print("written", flush=True)

    asyncio.run(run())


def come_and_go(path: str, name: str) -> None:
    """Connect, write, print how many entries of the test are seen and what the counter says, and disconnect."""

    async def run() -> None:
        async with SQLiteBackend(path) as store:
            await store.set(f"other:{name}", 1)
            print(await store.count("mine:*"), await store.increment("counter"))

    asyncio.run(run())


JOBS = {
    job.__name__: job
    for job in (
        write,
        write_for_ever,
        hold_the_lock,
        start_with_others,
        fill_the_disk,
        fail_to_open,
        lose_the_right_to_write,
        fork_while_connected,
        fork_while_not_connected,
        come_and_go,
        write_when_told,
    )
}

if __name__ == "__main__":
    do_job(JOBS, sys.argv[1:])
