"""One database for all event loops of a backend: opened by the first of them, closed with the last."""

from __future__ import annotations

import os
from collections.abc import Callable

from ..concurrency.forks import ForkSafeLock, keep_for_parent
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
        self._lock = ForkSafeLock()
        self.current: Database | None = None

    async def acquire(self) -> Database:
        """Return the open database; one `release` belongs to each.

        Raises:
            sqlite3.Error, StorageError: it cannot be opened; nothing stays open.
        """
        with self._lock:
            if self.current is not None and self.current.pid != os.getpid():
                keep_for_parent(self.current)
                self.current = None
            if self.current is None:
                self.current = self._make()
            database = self.current
            database.users += 1
        try:
            await database.open()
        except BaseException:
            self.release(database)
            await run_to_end(self._give_up(database))
            raise
        database.is_needed = True
        return database

    def release(self, database: Database) -> None:
        """Note that one user needs it no more; it stays open until `close`."""
        with self._lock:
            database.users -= 1

    async def _give_up(self, database: Database) -> None:
        """Drop a database that nobody has got open, with its threads."""
        with self._lock:
            if database.users or database.is_needed or self.current is not database:
                return
            self.current = None
        await database.close()

    async def close(self) -> None:
        """Close it, unless somebody has begun to use it again."""
        with self._lock:
            database = self.current
            if database is None or database.users:
                return
            self.current = None
        if database.pid != os.getpid():
            keep_for_parent(database)
            return
        await database.close()
