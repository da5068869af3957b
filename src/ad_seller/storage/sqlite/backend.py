"""Entries in one SQLite file: the default. Several processes of one machine can share it."""

from __future__ import annotations

import asyncio
import os
import sqlite3
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any, ClassVar, Literal, TypeVar, cast

import aiosqlite

from ..capabilities import Capabilities
from ..concurrency.tasks import run_to_end
from ..driver.commit import Commit, Outcome
from ..driver.engine import LATER, Later
from ..driver.query import KeyQuery
from ..errors import (
    ConfigurationError,
    InvalidValueError,
    StorageConnectionError,
    StorageError,
    StorageTimeoutError,
    StoreUnavailableError,
    shown,
)
from ..runtime.template import DriverBackend
from . import statements as sql
from .files import check_path, open_files
from .schema import prepare
from .url import MEMORY, parse_sqlite_url

A = TypeVar("A")
R = TypeVar("R")

#: Seconds of one turn of the event loop that may go into reads on its own thread: for a single caller the hop to
#: a thread and back costs several times as much as the read.
_TURN_BUDGET = 0.0005

_ABANDON_SECONDS = 1.0  #: to wait for the thread of a connection whose event loop has ended

#: Connections that belong to a parent process: kept, because closing them here would disturb the parent's.
_left_to_the_parent: list[aiosqlite.Connection | sqlite3.Connection] = []


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
    _read_batch: ClassVar[int] = 64  # a quarter of a millisecond; these, too, are read without a hop

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
        self._local: sqlite3.Connection | None = None
        self._spent = 0.0
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
            check_path(Path(self.path))
        self._pid = os.getpid()
        try:
            if self.path != MEMORY:
                self._file = open_files.enter(Path(self.path))
            self._connection = await self._start(self._open_writer)
            if self.path == MEMORY:
                self._reader = self._connection
            else:
                self._reader = await self._start(self._open_reader)
                self._local = self._open_reader(patience=0.0)
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
            prepare(db, self.path, synchronous=self._synchronous, patience=self.timeout)
            db.execute("PRAGMA busy_timeout = 0")  # from now on the waiting is that of `sql.apply`
        except BaseException:
            db.close()
            raise
        return db

    def _open_reader(self, patience: float | None = None) -> sqlite3.Connection:
        db = self._connected(patience)
        db.execute("PRAGMA query_only = ON")
        return db

    def _connected(self, patience: float | None = None) -> sqlite3.Connection:
        timeout = self.timeout if patience is None else patience
        db = sqlite3.connect(self.path, timeout=timeout, isolation_level=None)
        db.text_factory = bytes  # the codec judges the text, so that damaged UTF-8 is named with its key
        return db

    async def _close(self) -> None:
        reader, writer, self._reader, self._connection = self._reader, self._connection, None, None
        local, self._local = self._local, None
        if local is not None:
            local.close()
        if reader is not None and reader is not writer:
            await reader.close()
        if writer is not None:
            await writer.close()
        if self._file is not None:
            open_files.leave(self._file)
            self._file = None

    def _abandon(self) -> None:
        local, self._local = self._local, None
        if local is not None and self._pid == os.getpid():
            local.close()
        elif local is not None:
            _left_to_the_parent.append(local)
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
            open_files.leave(self._file)
        self._file = None

    # --- reads on the event loop's own thread ----------------------------------------------------------

    def _read_now(self, key: str) -> bytes | Later | None:
        """Read at once as long as this turn of the event loop has time left: a hop to a thread costs more."""
        if self._local is None or self._spent > _TURN_BUDGET:
            return LATER
        if self._spent == 0.0:
            asyncio.get_running_loop().call_soon(self._next_turn)
        began = time.perf_counter()
        try:
            return sql.read_one(self._local, key, self._clock())
        except sqlite3.Error:
            return LATER  # the reader on its thread waits where this must not, and reports what is wrong
        finally:
            self._spent += time.perf_counter() - began

    def _next_turn(self) -> None:
        self._spent = 0.0

    # --- the hooks -------------------------------------------------------------------------------------

    async def _read(self, keys: list[str]) -> Sequence[bytes | None]:
        if len(keys) <= self._read_batch and self._local is not None and self._session and not self._session.active:
            with suppress(sqlite3.Error):  # likewise
                texts = sql.read_within(self._local, keys, self._clock(), 2 * _TURN_BUDGET)
                if texts is not None:
                    return texts
        return await self._run(self._reader, sql.read, keys)

    async def _remaining(self, keys: list[str]) -> Sequence[int]:
        return await self._run(self._reader, sql.remaining, keys)

    async def _apply(self, commits: list[Commit]) -> Sequence[Outcome | Exception]:
        return await self._run(self._connection, self._apply_to_same_file, commits)

    def _apply_to_same_file(
        self, db: sqlite3.Connection, commits: list[Commit], _now: float
    ) -> list[Outcome | Exception]:
        if self._file is not None:
            open_files.check(Path(self.path), self._file)
        return sql.apply(db, commits, self._clock)

    async def _keys(self, span: KeyQuery) -> list[str]:
        return await self._run(self._reader, sql.keys, span)

    async def _entries(self, span: KeyQuery) -> list[tuple[str, bytes]]:
        return await self._run(self._reader, sql.entries, span)

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
        transaction half way. So the function goes into the queue that they are made of, and answers by itself:
        aiosqlite's own way to answer ends the thread if the event loop has ended meanwhile.
        """
        assert connection is not None, "the template calls the hooks between _open and _close only"  # noqa: S101
        loop = asyncio.get_running_loop()
        done: asyncio.Future[R] = loop.create_future()
        db = connection._conn

        def job() -> None:
            try:
                result = function(db, argument, self._clock())
            except BaseException as error:
                settle = partial(_settle, done, None, error)
            else:
                settle = partial(_settle, done, result, None)
            with suppress(RuntimeError):  # the event loop has ended, nobody waits any more
                loop.call_soon_threadsafe(settle)

        connection._tx.put_nowait((None, job))
        return await done

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


def _settle(done: asyncio.Future[R], result: R | None, error: BaseException | None) -> None:
    if done.done():
        return
    if error is not None:
        done.set_exception(error)
    else:
        done.set_result(cast("R", result))
