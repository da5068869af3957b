"""Entries in one SQLite file: the default. Several processes of one machine can share it."""

from __future__ import annotations

import asyncio
import os
import sqlite3
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, ClassVar, Literal, TypeVar

import aiosqlite

from . import sqlite_sql as sql
from .capabilities import Capabilities
from .commit import Commit, Outcome
from .driver import DriverBackend
from .errors import (
    ConfigurationError,
    InvalidValueError,
    NotConnectedError,
    StorageConnectionError,
    StorageError,
    StorageTimeoutError,
    StoreUnavailableError,
    shown,
)
from .listing import Span
from .process import run_to_end
from .sqlite_url import MEMORY, parse_sqlite_url

A = TypeVar("A")
R = TypeVar("R")

#: Milliseconds that one attempt to write waits for the lock. A batch that did not get it goes back into the
#: queue, so that each call waits its own time and a cancelled one leaves at once.
_LOCK_ATTEMPT_MS = 100

_ABANDON_SECONDS = 1.0  #: to wait for the thread of a connection whose event loop has ended

#: Connections that belong to a parent process: kept, because closing them here would disturb the parent's.
_left_to_the_parent: list[aiosqlite.Connection] = []


class _OpenFiles:
    """The database files that are open in this process or were so in the one that it was forked from.

    SQLite keeps locks in tables of the process. A forked child inherits the tables but not the locks, and would
    write over the parent: https://www.sqlite.org/howtocorrupt.html#_carrying_an_open_database_connection_across_a_fork_
    """

    def __init__(self) -> None:
        self._users: dict[tuple[int, int], list[int]] = {}

    def enter(self, path: Path) -> tuple[int, int]:
        """Note that the file is being opened, and make it if there is none; for its owner's eyes only.

        Raises:
            NotConnectedError: the process was forked while the file was open.
        """
        with suppress(FileExistsError):
            # Only a new file is opened and closed here: closing drops this process's locks on it.
            os.close(os.open(path, os.O_CREAT | os.O_EXCL | os.O_RDWR, 0o600))
        status = path.stat()
        file = (status.st_dev, status.st_ino)
        users = self._users.setdefault(file, [])
        if any(pid != os.getpid() for pid in users):
            raise NotConnectedError(
                f"This process was forked while {str(path)!r} was open; SQLite cannot use the file here without "
                "damaging it. Connect only after forking, or start processes with 'spawn'."
            )
        users.append(os.getpid())
        return file

    def leave(self, file: tuple[int, int]) -> None:
        """Note that one user has closed the file."""
        self._users[file].remove(os.getpid())
        if not self._users[file]:
            del self._users[file]


_open_files = _OpenFiles()


class SQLiteBackend(DriverBackend):
    """A backend on a SQLite file in WAL mode.

    Writes go through one connection, reads through another, each on a thread of its own. All writes of an
    event-loop tick are one transaction.

    Args:
        database_url: see `parse_sqlite_url`.
        timeout: seconds that a write waits while other processes hold the lock.
        synchronous: "FULL": an acknowledged write survives a power failure; "NORMAL": only the end of the
            process. See https://www.sqlite.org/pragma.html#pragma_synchronous.
        settings: see `DriverBackend`.
    """

    _sweeps: ClassVar[bool] = True

    def __init__(
        self,
        database_url: str = "sqlite:///./ad_seller.db",
        *,
        timeout: float = 10.0,
        synchronous: Literal["FULL", "NORMAL"] = "FULL",
        **settings: Any,
    ) -> None:
        """Keep the settings; the file is opened by `connect`."""
        super().__init__(timeout=timeout, **settings)
        if synchronous not in ("FULL", "NORMAL"):
            raise ConfigurationError(f"synchronous is FULL or NORMAL, not {shown(synchronous)}")
        self.path = parse_sqlite_url(database_url)
        self._synchronous = synchronous
        self._connection: aiosqlite.Connection | None = None
        self._reader: aiosqlite.Connection | None = None
        self._file: tuple[int, int] | None = None
        self._pid = 0

    def __repr__(self) -> str:
        """Return the class and the path."""
        return f"SQLiteBackend({self.path!r})"

    @property
    def capabilities(self) -> Capabilities:
        """Everything, on one machine; a database in memory is neither durable nor shared."""
        on_disk = self.path != MEMORY
        return Capabilities(atomic="store", expiry="store", durable=on_disk, shared=on_disk, atomic_batches=True)

    # --- life cycle ------------------------------------------------------------------------------------

    async def _open(self) -> None:
        if self.path != MEMORY:
            _check_path(Path(self.path))
        self._pid = os.getpid()
        try:
            if self.path != MEMORY:
                self._file = _open_files.enter(Path(self.path))
            self._connection = await self._start(self._open_writer)
            self._reader = self._connection if self.path == MEMORY else await self._start(self._open_reader)
        except BaseException:
            await run_to_end(self._close())
            raise

    async def _start(self, connector: Callable[[], sqlite3.Connection]) -> aiosqlite.Connection:
        """Open a connection on a new thread that does not keep a script from ending."""
        connection = aiosqlite.Connection(connector, iter_chunk_size=64)
        connection._thread.daemon = True

        async def opened() -> aiosqlite.Connection:
            return await connection

        try:
            return await run_to_end(opened())
        except asyncio.CancelledError:
            await run_to_end(connection.close())
            raise
        except Exception:
            # aiosqlite ends its thread without waiting for it, and the thread still reports to this loop.
            await run_to_end(asyncio.to_thread(connection._thread.join))
            raise

    def _open_writer(self) -> sqlite3.Connection:
        db = self._connected()
        try:
            sql.prepare(db, synchronous=self._synchronous, patience=self.timeout)
            db.execute(f"PRAGMA busy_timeout = {_LOCK_ATTEMPT_MS}")
        except BaseException:
            db.close()
            raise
        return db

    def _open_reader(self) -> sqlite3.Connection:
        db = self._connected()
        db.execute("PRAGMA query_only = ON")
        return db

    def _connected(self) -> sqlite3.Connection:
        db = sqlite3.connect(self.path, timeout=self.timeout, isolation_level=None)
        db.text_factory = bytes  # the codec judges the text, so that damaged UTF-8 is named with its key
        return db

    async def _close(self) -> None:
        reader, writer, self._reader, self._connection = self._reader, self._connection, None, None
        if reader is not None and reader is not writer:
            await reader.close()
        if writer is not None:
            await writer.close()
        if self._file is not None:
            _open_files.leave(self._file)
            self._file = None

    def _abandon(self) -> None:
        for connection in {self._connection, self._reader}:
            if connection is None:
                continue
            if self._pid != os.getpid():
                _left_to_the_parent.append(connection)
            else:
                connection.stop()
                connection._thread.join(_ABANDON_SECONDS)  # it still reports to this loop
        self._connection = self._reader = None
        if self._file is not None and self._pid == os.getpid():
            _open_files.leave(self._file)
        self._file = None

    # --- the hooks -------------------------------------------------------------------------------------

    async def _read(self, keys: list[str]) -> Sequence[bytes | None]:
        return await self._run(self._reader, sql.read, keys)

    async def _remaining(self, keys: list[str]) -> Sequence[int]:
        return await self._run(self._reader, sql.remaining, keys)

    async def _apply(self, commits: list[Commit]) -> Sequence[Outcome | Exception]:
        return await self._run(self._connection, sql.apply, commits)

    async def _keys(self, span: Span) -> list[str]:
        return await self._run(self._reader, sql.keys, span)

    async def _entries(self, span: Span) -> list[tuple[str, bytes]]:
        return await self._run(self._reader, sql.entries, span)

    async def _count(self, span: Span) -> int:
        return await self._run(self._reader, sql.count, span)

    async def _sweep(self, rows: int) -> int:
        return await self._run(self._connection, sql.sweep, rows)

    async def _run(
        self,
        connection: aiosqlite.Connection | None,
        function: Callable[[sqlite3.Connection, A, float], R],
        argument: A,
    ) -> R:
        """Run ``function`` whole on the connection's thread.

        aiosqlite's public methods await after each statement, which would let a cancellation stop a
        transaction half way; `_execute` is what they are made of.
        """
        assert connection is not None, "the template calls the hooks between _open and _close only"  # noqa: S101
        db = connection._conn
        result: R = await connection._execute(lambda: function(db, argument, self._clock()))  # type: ignore[no-untyped-call]
        return result

    # --- errors ----------------------------------------------------------------------------------------

    def _translate(self, what: str, key: str | None, error: BaseException) -> StorageError:
        match sql.primary_code(error):
            case sqlite3.SQLITE_BUSY | sqlite3.SQLITE_LOCKED:
                return StorageTimeoutError(
                    f"{what}: other processes kept {self.path!r} locked for {self.timeout:g} s. "
                    "Nothing was written; end the long transaction that holds the lock.",
                    key=key,
                )
            case sqlite3.SQLITE_TOOBIG:
                return InvalidValueError(f"{what}: larger than SQLite takes", key=key)
            case sqlite3.SQLITE_FULL:
                return StoreUnavailableError(
                    f"{what}: the disk of {self.path!r} is full. Nothing was written; free some space.",
                    key=key,
                )
            case sqlite3.SQLITE_READONLY:
                return StoreUnavailableError(f"{what}: {self.path!r} is read-only; make it writable.", key=key)
            case sqlite3.SQLITE_CORRUPT | sqlite3.SQLITE_NOTADB:
                return StoreUnavailableError(
                    f"{what}: {self.path!r} is damaged or no SQLite database ({error}). "
                    "Restore a backup, or name another file.",
                    key=key,
                )
            case sqlite3.SQLITE_CANTOPEN:
                return StorageConnectionError(
                    f"{what}: {self.path!r} cannot be opened ({error}); check the folder and its permissions.",
                    key=key,
                )
        return StoreUnavailableError(f"{what}: {self.path!r}: {error}", key=key)


def _check_path(path: Path) -> None:
    """Raise the error that says what is wrong with the path, which SQLite's own message does not."""
    if path.is_dir():
        raise StorageConnectionError(
            f"{str(path)!r} is a directory; name a file in it, e.g. {str(path / 'ad_seller.db')!r}"
        )
    if not path.parent.is_dir():
        raise StorageConnectionError(f"There is no folder {str(path.parent)!r} for the database; create it first")
    if path.exists() and not os.access(path, os.W_OK):
        raise StoreUnavailableError(f"{str(path)!r} is read-only for this user; make it writable")
    if not os.access(path.parent, os.W_OK):
        raise StoreUnavailableError(
            f"The folder {str(path.parent)!r} is read-only for this user; SQLite keeps its log beside the file"
        )
