"""One database for all event loops of a backend: opened by the first of them, closed with the last."""

from __future__ import annotations

import os
import weakref
from collections.abc import Callable

from ..concurrency.forks import fork_safe_lock, keep_for_parent
from ..concurrency.tasks import run_to_end
from .database import Database


class SharedDatabase:
    """The database of one backend, opened by the first of its event loops and closed with the last.

    Args:
        make: makes the database, not open yet.
    """

    def __init__(self, make: Callable[[], Database]) -> None:
        """Nothing is open yet."""
        self._make = make
        self._lock = fork_safe_lock()
        self.current: Database | None = None
        self._end: weakref.finalize[..., SharedDatabase] | None = None

    async def acquire(self) -> Database:
        """Return the open database; one `release` belongs to each.

        Raises:
            sqlite3.Error, StorageError: it cannot be opened; nothing stays open.
        """
        with self._lock:
            database = self.current
            if database is not None and database.pid != os.getpid():
                keep_for_parent(database)
                database = None
            if database is None:
                database = self._make()
                self._set(database)
            database.users += 1
        try:
            await database.open()
        except BaseException:
            self.release(database)
            await run_to_end(self._give_up(database))
            raise
        database.is_needed = True
        return database

    def _set(self, database: Database | None) -> None:
        self.current = database
        if self._end is not None:
            self._end.detach()
        self._end = None
        if database is not None:  # its thread would keep it open when the backend is garbage, not disconnected
            self._end = weakref.finalize(self, _abandon, database)
            self._end.atexit = False

    def release(self, database: Database) -> None:
        """Note that one user needs it no more; it stays open until `close`."""
        with self._lock:
            database.users -= 1

    async def _give_up(self, database: Database) -> None:
        """Drop a database that nobody has got open, with its threads."""
        with self._lock:
            if database.users or database.is_needed or self.current is not database:
                return
            self._set(None)
        await database.close()

    async def close(self) -> None:
        """Close it, unless somebody has begun to use it again."""
        with self._lock:
            database = self.current
            if database is None or database.users:
                return
            self._set(None)
        if database.pid != os.getpid():
            keep_for_parent(database)
            return
        await database.close()


def _abandon(database: Database) -> None:
    """Have the threads of a database close it and end: there is nobody left who could."""
    if database.pid != os.getpid():
        keep_for_parent(database)
        return
    database.is_open = False
    reader, writer = database.reader, database.writer

    def leave_reader() -> None:
        try:
            database.leave(reader)
        finally:
            writer.abandon(database.leave_last)

    if reader is writer or not reader.is_started:
        writer.abandon(database.leave_last)
    else:
        reader.abandon(leave_reader)
