"""A database that is open in this process: one connection for writes, one for reads, for all event loops.

The threads of the connections know no event loop, so they serve any number of them: a loop that begins or ends
opens and closes nothing, and what several loops write at once waits in a queue instead of for the file's lock.
"""

from __future__ import annotations

import os
import sqlite3
import time
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from ..driver.failures import LostError, NotStartedError
from ..errors import StoreUnavailableError
from ..records.expiry import SteadyClock
from . import guard
from .clock import learn, tell
from .fields import FieldIndexes
from .files import check_path
from .handle import Handle
from .local import LocalReader
from .locks import wait_for
from .log import LogGoneError
from .openfiles import OpenFile, open_files
from .schema import prepare
from .url import MEMORY
from .worker import Worker

if TYPE_CHECKING:
    from . import backup

R = TypeVar("R")
Told = Callable[[R | None, BaseException | None], object]  #: gets what came of a call, or why nothing did

_PAUSE = 0.02  #: seconds between two tries to open a file whose log is about to be saved


class Database:
    """The connections to one file, or to a database in memory.

    Args:
        path: the file, or ``:memory:``.
        clock: seconds since the epoch.
        synchronous: FULL or NORMAL.
        patience: seconds to wait for others that hold a lock while it is opened.
        create: whether the file and its table are made.
        fields: the indexes of fields.
    """

    def __init__(
        self,
        path: str,
        clock: SteadyClock,
        *,
        synchronous: str,
        patience: float,
        create: bool,
        fields: FieldIndexes,
    ) -> None:
        """Nothing is open yet."""
        self.path = path
        self.pid = os.getpid()
        self.users = 0
        self.is_needed = False  # somebody has it, or had it and has not closed the backend
        self.is_open = False
        self._clock = clock
        self._told = False  # others, that the system's clock was set back
        self.synchronous = synchronous
        self._patience = patience
        self._create = create
        self._fields = fields
        self.made: set[str] = set()  # indexes that are there since a search has needed them
        self._file: OpenFile | None = None
        self._writers = guard.WritersLock(None, (0, 0))
        self.writer = Worker(self._open_writer)
        self.reader = self.writer if path == MEMORY else Worker(self._open_entered_reader)

    def is_to_make(self, index: str) -> bool:
        """Tell whether an index that a search needs is to be made: once, and where anything is."""
        return self._create and index not in self.made

    async def open(self) -> None:
        """Open what writes; if that fails, it can be tried again. What reads is opened when it is first needed."""
        await self.writer.open(partial(self._enter, self.writer))
        self.is_open = True

    async def close(self) -> None:
        """Close the connections after what is under way; both, also if one of them fails."""
        self.is_open = False
        try:
            if self.reader is not self.writer:
                await self.reader.stop(partial(self.leave, self.reader))
        finally:
            await self.writer.stop(self.leave_last)

    # --- calls on the threads --------------------------------------------------------------------------

    async def read(self, function: Callable[[sqlite3.Connection], R]) -> R:
        """Return what ``function`` reads."""
        self.reader.start()
        return await self.reader.run(partial(self._tried, self.reader, partial(self._read, function)))

    def begin_read(self, function: Callable[[sqlite3.Connection], R], tell: Told[R]) -> None:
        """Do the same, and have the event loop call ``tell`` with what came of it."""
        self.reader.start()
        self.reader.begin(partial(self._tried, self.reader, partial(self._read, function)), tell)

    async def write(self, function: Callable[[sqlite3.Connection], R]) -> R:
        """Return what ``function`` writes.

        Raises:
            StoreUnavailableError: the file or its log is gone; nothing was written.
            LostError: it went while it was written to.
        """
        return await self.writer.run(partial(self._written, function))

    def begin_write(self, function: Callable[[sqlite3.Connection], R], tell: Told[R]) -> None:
        """Do the same, and have the event loop call ``tell`` with what came of it."""
        self.writer.begin(partial(self._written, function), tell)

    def save(self, to: Path, told: backup.Told) -> None:
        """Copy what is committed at this moment into an empty file, in the calling thread; see `backup.save`."""
        try:
            db = self._open_reader(self._patience)
        except LogGoneError:
            if self._file is not None:
                self._file.renew()
            db = self._open_reader(self._patience)
        from . import backup  # with what it needs, when somebody saves

        try:
            backup.save(db, to, told)
        finally:
            db.close()

    def local(self) -> LocalReader | None:
        """Return a further connection for reads, used by whichever thread; None for a database in memory."""
        if self._file is None:
            return None
        reader = LocalReader(partial(self._open_reader, 0.0), self._file)
        self._file.enter(reader)
        return reader

    def _read(self, function: Callable[[sqlite3.Connection], R], db: sqlite3.Connection) -> R:
        if self._file is not None and time.perf_counter() > self._file.next_look:
            self._file.check()
        return function(db)

    def _written(self, function: Callable[[sqlite3.Connection], R]) -> R:
        file = self._file
        if file is None:
            return self.writer.use(function)

        def between_looks(db: sqlite3.Connection) -> R:
            writers = self._writers
            wait_for(writers.take)
            try:
                file.check()
                self._tell_of_clock(db)
                result = function(db)
                file.check_written()
            finally:
                writers.give_back()
            return result

        try:
            return self.writer.use(between_looks)
        except LostError:
            with suppress(NotStartedError, sqlite3.Error):  # the next call tries again
                file.renew()
            raise
        except LogGoneError as error:
            raise StoreUnavailableError(
                f"The log of {self.path!r} (its -wal or -shm) was removed or replaced while it was open. Nothing "
                f"of this was written. {file.renew()} Call again. A file in use is copied with SQLite's backup "
                "(sqlite3 FILE '.backup COPY'), never with cp, and its log is part of it."
            ) from error

    def _tell_of_clock(self, db: sqlite3.Connection) -> None:
        if not self._told and self._clock.is_ahead:
            with suppress(sqlite3.Error):  # with the next write
                tell(db, self._clock)
                self._told = True

    def _tried(self, handle: Handle, function: Callable[[sqlite3.Connection], R]) -> R:
        """Do it; a second time if the log is gone, and the connections were opened anew."""
        try:
            return handle.use(function)
        except LogGoneError:
            assert self._file is not None  # noqa: S101 - it was found by it
            self._file.renew()
        try:
            return handle.use(function)
        except LogGoneError as error:
            raise StoreUnavailableError(
                f"The log of {self.path!r} was removed while it was open, and another connection of this process "
                "still has it open. Close that, then call again."
            ) from error

    def _enter(self, worker: Worker) -> None:
        """Open a connection for the first time."""
        if self.path != MEMORY:
            if self._file is None:
                self._file = open_files.enter(self.path, check_path(self.path, create=self._create))
            self._file.enter(worker)
        try:
            self._tried(worker, lambda db: None)
        except BaseException:
            self.leave(worker)
            raise

    def leave(self, handle: Handle) -> None:
        """Close a connection for good, on its thread."""
        if self._file is None:
            handle.close()
        else:
            self._file.leave(handle)

    def leave_last(self) -> None:
        """Close the connection for writes, and with it the file."""
        try:
            self.leave(self.writer)
        finally:
            file, self._file = self._file, None
            if file is not None:
                open_files.leave(file)

    # --- connections -----------------------------------------------------------------------------------

    def _open_writer(self) -> sqlite3.Connection:
        give_up = time.monotonic() + self._patience
        while True:
            try:
                return self._prepared()
            except sqlite3.OperationalError as error:
                # Somebody removed the log of a file in use; those who have it open are about to save it.
                if error.sqlite_errorcode != sqlite3.SQLITE_IOERR_SHORT_READ or time.monotonic() > give_up:
                    raise
                time.sleep(_PAUSE)

    def _prepared(self) -> sqlite3.Connection:
        db, descriptor = self._connected(self._patience, is_writer=True)
        try:
            if self._file is not None:
                self._writers = guard.WritersLock(descriptor, self._file.main)
                self._file.wait_for_log(descriptor, self._patience)
            prepare(
                db,
                self.path,
                self._fields,
                synchronous=self.synchronous,
                patience=self._patience,
                create=self._create,
            )
            learn(db, self._clock)
            db.execute("PRAGMA busy_timeout = 0")  # from now on the waiting is that of `locks.wait_for`
            if self._file is not None:
                self._file.adopt(db, is_writer=True)
        except BaseException:
            db.close()
            raise
        return db

    def _open_entered_reader(self) -> sqlite3.Connection:
        if self._file is not None:
            self._file.enter(self.reader)
        return self._open_reader(self._patience)

    def _open_reader(self, patience: float) -> sqlite3.Connection:
        db, descriptor = self._connected(patience)
        try:
            if self._file is not None:  # it comes first if all were closed because a log was lost
                self._file.wait_for_log(descriptor, 0.8 * patience)  # and says so before the caller gives up
            db.execute("PRAGMA query_only = ON")
            db.execute("PRAGMA schema_version").fetchone()  # opens the log
            if self._file is not None:
                self._file.adopt(db, is_writer=False)
        except BaseException:
            db.close()
            raise
        return db

    def _connected(self, patience: float, *, is_writer: bool = False) -> tuple[sqlite3.Connection, int | None]:
        # Used by one thread at a time; closed by another where an event loop has ended without it.
        connector = partial(
            sqlite3.connect, self.path, timeout=patience, isolation_level=None, check_same_thread=False
        )
        if self._file is None:
            db, descriptor = connector(), None
        else:
            self._file.check()  # before SQLite makes another log, or another file
            db, descriptor = self._file.connect(connector, is_writer=is_writer)
        db.text_factory = bytes  # the codec judges the text, so that damaged UTF-8 is named with its key
        return db, descriptor
