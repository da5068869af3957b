"""The engine of SQLite: one event loop's way to a database that all loops of the process share."""

from __future__ import annotations

import asyncio
import logging
import os
import sqlite3
from collections.abc import Callable, Sequence
from functools import partial
from time import monotonic, perf_counter
from typing import Any, ClassVar, TypeVar

from ..concurrency.forks import keep_for_parent
from ..driver.commit import Commit, Outcome
from ..driver.engine import WOULD_BLOCK, Engine, Tell, WouldBlock
from ..driver.failures import EngineError, NotStartedError
from ..driver.query import KeyQuery
from ..driver.transfer import StoredEntry
from ..errors import NotConnectedError, StorageError
from ..records.expiry import Clock
from . import statements as sql
from . import transfer
from .database import Database
from .errors import explain
from .facts import facts
from .fields import FieldIndexes
from .finding import find
from .handle import Handle, let_go
from .local import LOCAL_FAILURES, LocalReader
from .schema import has_expired, index_facts, make_index, mending
from .shared import SharedDatabase
from .url import MEMORY

log = logging.getLogger("ad_seller.storage")

A = TypeVar("A")
R = TypeVar("R")

#: Seconds of one turn of the event loop that may go into reads on its own thread: the hop to another costs more.
_TICK_BUDGET = 0.0005
_LARGE = 4_096  #: bytes of a text from which on it counts that who asked decodes it in the same turn
_DECODING = 5e-9  #: seconds for each of them


class SQLiteEngine(Engine):
    """Calls of one event loop.

    Args:
        shared: leads to the database.
        path: the file, for messages.
        clock: seconds since the epoch.
        timeout: seconds that a write waits while other processes hold the lock, for messages.
        fields: the indexes that searches can use.
    """

    refusals: ClassVar[tuple[type[Exception], ...]] = (sqlite3.Error,)
    sweeps: ClassVar[bool] = True
    transfers: ClassVar[bool] = True
    read_batch: ClassVar[int] = 64  # a quarter of a millisecond; these, too, are read without a hop

    def __init__(
        self, shared: SharedDatabase, path: str, clock: Clock, timeout: float, fields: FieldIndexes
    ) -> None:
        """Nothing is open yet."""
        self._shared = shared
        self._path = path
        self._clock = clock
        self._timeout = timeout
        self._fields = fields
        self._pid = os.getpid()
        self._opened: Database | None = None
        self._local: LocalReader | None = None
        self._near: Handle | None = None  # what `read_nowait` reads over
        self._in_threads: LocalReader | None = None
        self._spent, self._listing = 0.0, 0

    async def open(self) -> None:
        """See `Engine.open`."""
        self._opened = database = await self._shared.acquire()
        self._local = database.local()
        self._in_threads = database.local()
        self._near = self._local and database.writer  # until something is written: opening another takes its time

    async def close(self) -> None:
        """See `Engine.close`; the database stays open for other event loops."""
        self._let_go()

    def abandon(self) -> None:
        """See `Engine.abandon`."""
        if self._pid != os.getpid():
            keep_for_parent((self._local, self._in_threads, self._opened))
            self._local = self._near = self._in_threads = self._opened = None
        else:
            self._let_go()

    def _let_go(self) -> None:
        readers = self._local, self._in_threads
        self._local = self._near = self._in_threads = None
        database, self._opened = self._opened, None
        if database is not None:
            for reader in readers:
                if reader is not None:
                    reader.close_for_good()
            self._shared.release(database)

    @property
    def _database(self) -> Database:
        if self._opened is None:  # called before, by an event loop that stood still meanwhile
            raise NotConnectedError("Storage not connected: it was disconnected before this call began.")
        return self._opened

    # --- reads on the event loop's own thread ----------------------------------------------------------

    def read_nowait(self, key: str) -> bytes | WouldBlock | None:
        """Read at once as long as this turn of the event loop has time left: a hop to a thread costs more."""
        near, local = self._near, self._local
        if near is None or local is None or self._spent > _TICK_BUDGET:
            return WOULD_BLOCK
        try:  # what `LocalReader.attempt` does, without its price
            if not near.busy.acquire(False):
                return WOULD_BLOCK
            if self._spent == 0.0:
                asyncio.get_running_loop().call_soon(self._next_tick)
            began = perf_counter()
            try:
                if began > local.file.next_look:
                    local.file.check()
                # What writes is not opened here: it may wait.
                db = near.db or (local.opened() if near is local else None)
                if db is None:
                    self._near = local
                    return WOULD_BLOCK
                row = db.execute(sql.READ, (key,)).fetchone()
                if row is None or (row[1] is not None and has_expired(row[1], self._clock())):
                    return None
                text = row[0]
                if type(text) is bytes and len(text) > _LARGE:  # a table of others may hold anything
                    self._spent += len(text) * _DECODING
                return text  # type: ignore[no-any-return]
            except LOCAL_FAILURES:
                return WOULD_BLOCK
            finally:
                near.busy.release()
                self._spent += perf_counter() - began
        except BaseException:
            let_go(near)
            raise

    def read_in_thread(self, key: str) -> bytes | WouldBlock | None:
        """See `Engine.read_in_thread`; over a connection of its own, which sees what was committed before."""
        reader = self._in_threads
        if reader is None:
            return WOULD_BLOCK
        return reader.attempt(WOULD_BLOCK, sql.read_one, key, self._clock())

    def _next_tick(self) -> None:
        self._spent = 0.0

    # --- the bulk calls --------------------------------------------------------------------------------

    async def read(self, keys: list[str]) -> Sequence[bytes | None]:
        """See `Engine.read`."""
        texts = self._read_here(keys)
        return await self._read(sql.read, keys) if texts is None else texts

    def begin_read(self, keys: list[str], tell: Tell[bytes | Exception | None]) -> None:
        """See `Engine.begin_read`."""
        texts = self._read_here(keys)
        if texts is None:
            self._database.begin_read(lambda db: sql.read(db, keys, self._clock()), tell)
        else:
            tell(texts, None)

    def _read_here(self, keys: list[str]) -> list[bytes | None] | None:
        """Read on the event loop's own thread; None if that would take too long, or a thread is at work."""
        if len(keys) > self.read_batch or self._local is None or self._listing:
            return None
        return self._local.attempt(None, sql.read_within, keys, self._clock(), 2 * _TICK_BUDGET)

    async def remaining(self, keys: list[str]) -> Sequence[int]:
        """See `Engine.remaining`."""
        return await self._read(sql.remaining, keys)

    async def apply(self, commits: list[Commit]) -> Sequence[Outcome | Exception]:
        """See `Engine.apply`."""
        return await self._database.write(partial(self._applied, commits))

    def begin_apply(self, commits: list[Commit], tell: Tell[Outcome | Exception]) -> None:
        """See `Engine.begin_apply`."""
        self._database.begin_write(partial(self._applied, commits), tell)

    def _applied(self, commits: list[Commit], db: sqlite3.Connection) -> list[Outcome | Exception]:
        self._near = self._local
        return sql.apply(db, commits, self._clock)

    async def keys(self, query: KeyQuery) -> list[str]:
        """See `Engine.keys`."""
        return await self._list(sql.keys, query)

    async def keys_below(self, query: KeyQuery, prefix: str) -> list[str]:
        """See `Engine.keys_below`."""
        return await self._list(partial(sql.keys, prefix=prefix), query)

    async def entries(self, query: KeyQuery) -> list[tuple[str, bytes]]:
        """See `Engine.entries`."""
        if not query.where:
            return await self._list(sql.entries, query)
        narrowings = self._fields.narrowed(query)
        for narrowing in narrowings:
            if not self._database.made.issuperset(narrowing.wanted):
                await self._make(narrowing.wanted)
        return await self._list(partial(find, narrowings=narrowings), query)

    async def _make(self, wanted: dict[str, str]) -> None:
        """Make the indexes that a search needs first; without one it takes longer, so nothing of this fails it."""
        for name in filter(self._database.is_to_make, wanted):
            try:
                await self._database.write(partial(make_index, statements=[wanted[name]]))
                self._database.made.add(name)
            except NotStartedError:
                pass  # others write; the next search tries again
            except (EngineError, StorageError, sqlite3.Error) as error:
                self._database.made.add(name)
                log.warning("%s: the index %s could not be made: %s", self._path, name, error)

    async def estimate(self, query: KeyQuery) -> int | None:
        """See `Engine.estimate`; names of foreign writers that are no keys are counted, too."""
        return await self._read(transfer.count, query)

    async def page(self, prefix: str, after: str | None) -> list[StoredEntry]:
        """See `Engine.page`."""
        return await self._read(transfer.page, (prefix, after))

    async def entries_at(self, keys: Sequence[str]) -> list[StoredEntry]:
        """See `Engine.entries_at`."""
        return await self._read(transfer.entries_at, keys)

    async def store(
        self, entries: Sequence[StoredEntry], expected: Sequence[bytes | None] | None
    ) -> Sequence[bool]:
        """See `Engine.store`."""
        return await self._database.write(lambda db: transfer.store(db, entries, expected, self._clock))

    async def sweep(self, rows: int) -> int:
        """See `Engine.sweep`."""
        try:
            return await self._database.write(lambda db: sql.sweep(db, rows, self._clock()))
        except NotStartedError:
            return 0  # others write; there is time

    async def facts(self) -> dict[str, Any]:
        """See `Engine.facts`."""
        database = self._database
        return await database.read(
            lambda db: facts(db, self._path, self._clock(), database.synchronous) | index_facts(db, self._fields)
        )

    async def build_indexes(self) -> None:
        """Make the indexes that are missing or something else; each by itself, so that others write in between."""
        for statements in await self._database.read(lambda db: mending(db, self._path, self._fields)):
            await self.change_schema(partial(make_index, statements=statements))

    async def doubts(self) -> list[str]:
        """See `Engine.doubts`: a file whose newest commits a power failure may take."""
        if self._path == MEMORY or self._database.synchronous == "FULL":
            return []
        lost = "commits that were acknowledged shortly before a power failure may be lost"
        return [f"synchronous={self._database.synchronous}: {lost}. SQLITE_SYNCHRONOUS=FULL keeps them."]

    async def change_schema(self, work: Callable[[sqlite3.Connection], R]) -> R:
        """Return what ``work`` makes of the connection for writes; it begins its transaction by itself.

        Raises:
            NotStartedError: another connection held the write lock all the time.
        """
        give_up = monotonic() + self._timeout
        while True:
            try:
                return await self._database.write(work)
            except NotStartedError:
                if monotonic() > give_up:
                    raise

    async def _list(self, function: Callable[[sqlite3.Connection, KeyQuery, float], R], query: KeyQuery) -> R:
        self._listing += 1
        try:
            return await self._read(function, query)
        finally:
            self._listing -= 1

    async def _read(self, function: Callable[[sqlite3.Connection, A, float], R], argument: A) -> R:
        return await self._database.read(lambda db: function(db, argument, self._clock()))

    # --- errors ----------------------------------------------------------------------------------------

    def explain(self, what: str, key: str | None, error: BaseException) -> StorageError:
        """See `errors.explain`."""
        return explain(error, what, key, path=self._path, timeout=self._timeout)
