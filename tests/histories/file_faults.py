"""What goes wrong with the files of SQLite while a history is recorded."""

from __future__ import annotations

import asyncio
import random
import resource
import sqlite3
import time
from contextlib import closing, suppress
from pathlib import Path

from ad_seller.storage import StorageError
from ad_seller.storage.sqlite_backend import SQLiteBackend

from .clients import Clients
from .faults import Fault


def full_disk(path: Path) -> Fault:
    """Return the fault that no file of the clients can grow; a limit on the size of files stands for the disk."""

    def run(clients: Clients, chance: random.Random) -> None:
        log = path.with_name(f"{path.name}-wal")
        size = log.stat().st_size if log.exists() else 0
        size += chance.choice((0, 0, 3000, 9000))  # in the middle of a page of the log, too
        clients.limit(resource.RLIMIT_FSIZE, size)
        time.sleep(chance.uniform(0.1, 0.4))
        clients.limit(resource.RLIMIT_FSIZE, resource.RLIM_INFINITY)

    return run


def foreign_lock(path: Path) -> Fault:
    """Return the fault that another program holds the file's write lock."""

    def run(clients: Clients, chance: random.Random) -> None:
        with closing(sqlite3.connect(path, timeout=5, isolation_level=None)) as db:
            db.execute("BEGIN IMMEDIATE")
            time.sleep(chance.uniform(0.05, 0.5))
            db.execute("ROLLBACK")

    return run


def copy_of(path: Path) -> None:
    """Copy the file with its log, as somebody does who does not know better: by opening and closing them."""
    for suffix in ("", "-wal", "-shm"):
        with suppress(OSError):
            path.with_name(path.name + suffix).read_bytes()


def copied(path: Path) -> Fault:
    """Return the fault that clients copy the file that they have open, and another program comes and goes."""

    def run(clients: Clients, chance: random.Random) -> None:
        for client in chance.sample(clients.living, chance.randint(1, len(clients.living))):
            clients.disturb(client)
        time.sleep(chance.uniform(0.01, 0.1))
        _come_and_go(path)

    return run


def removed_log(path: Path) -> Fault:
    """Return the fault that somebody removes the log, its index or both; another of our programs comes and goes."""

    def run(clients: Clients, chance: random.Random) -> None:
        for suffix in chance.choice((("-wal",), ("-shm",), ("-wal", "-shm"))):
            path.with_name(path.name + suffix).unlink(missing_ok=True)
        asyncio.run(_connect_and_leave(path))
        _come_and_go(path)

    return run


def _come_and_go(path: Path) -> None:
    with closing(sqlite3.connect(path, timeout=5)) as db, suppress(sqlite3.OperationalError):
        db.execute("SELECT count(*) FROM kv_store").fetchone()


async def _connect_and_leave(path: Path) -> None:
    store = SQLiteBackend(str(path))
    with suppress(StorageError):
        await store.connect()
        await store.count()
    await store.disconnect()
