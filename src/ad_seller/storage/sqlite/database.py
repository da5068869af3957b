"""A database that is open in this process: one connection for writes, one for reads, for all event loops.

The threads of the connections know no event loop, so they serve any number of them: a loop that begins or ends
opens and closes nothing, and what several loops write at once waits in a queue instead of for the file's lock.
"""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import TypeVar

from ..concurrency.forks import ForkSafeLock, keep_for_parent
from ..concurrency.tasks import run_to_end
from .files import check_path, open_files
from .schema import prepare
from .url import MEMORY
from .worker import Worker

A = TypeVar("A")
R = TypeVar("R")


class Database:
    """The connections to one file, or to a database in memory.

    Args:
        path: the file, or ``:memory:``.
        synchronous: FULL or NORMAL.
        patience: seconds to wait for others that hold a lock while it is opened.
    """

    def __init__(self, path: str, *, synchronous: str, patience: float) -> None:
        """Nothing is open yet."""
        self.path = path
        self.pid = os.getpid()
        self.users = 0
        self.is_needed = False  # somebody has it, or had it and has not closed the backend
        self._synchronous = synchronous
        self._patience = patience
        self._file: tuple[int, int] | None = None
        self.writer = Worker(self._open_writer)
        self.reader = self.writer if path == MEMORY else Worker(self.open_reader)

    @property
    def is_open(self) -> bool:
        """Whether it was opened and not closed since."""
        return self.writer.is_open and self.reader.is_open

    async def open(self) -> None:
        """Open what is not open; if that fails, it can be tried again."""
        await self.writer.open()
        if self.reader is not self.writer:
            await self.reader.open()

    async def close(self) -> None:
        """Close the connections after what is under way; both, also if one of them fails."""
        try:
            if self.reader is not self.writer:
                await self.reader.stop()
        finally:
            try:
                await self.writer.stop()
            finally:
                self._leave()

    def _leave(self) -> None:
        file, self._file = self._file, None
        if file is not None:
            open_files.leave(file)

    # --- on the threads --------------------------------------------------------------------------------

    def _open_writer(self) -> sqlite3.Connection:
        if self.path != MEMORY and self._file is None:
            check_path(Path(self.path))
            self._file = open_files.enter(Path(self.path))
        try:
            return self._prepared()
        except BaseException:
            self._leave()
            raise

    def _prepared(self) -> sqlite3.Connection:
        db = self._connected(self._patience)
        try:
            prepare(db, self.path, synchronous=self._synchronous, patience=self._patience)
            db.execute("PRAGMA busy_timeout = 0")  # from now on the waiting is that of `statements.apply`
        except BaseException:
            db.close()
            raise
        return db

    def open_reader(self, patience: float | None = None) -> sqlite3.Connection:
        """Return a further connection, for reads; any thread may close it."""
        db = self._connected(self._patience if patience is None else patience)
        db.execute("PRAGMA query_only = ON")
        return db

    def _connected(self, patience: float) -> sqlite3.Connection:
        # Used by one thread at a time; closed by another where an event loop has ended without it.
        db = sqlite3.connect(self.path, timeout=patience, isolation_level=None, check_same_thread=False)
        db.text_factory = bytes  # the codec judges the text, so that damaged UTF-8 is named with its key
        return db

    def check_file(self) -> None:
        """Make sure that what is written goes where the path leads; see `OpenFiles.check`."""
        if self._file is not None:
            open_files.check(Path(self.path), self._file)


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


def close_quietly(db: sqlite3.Connection) -> None:
    """Close a connection whose event loop has ended; there is nobody to tell."""
    with suppress(sqlite3.Error):
        db.close()
