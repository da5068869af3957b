"""One SQLite connection on a thread of its own, that any event loop may use: all that we touch inside aiosqlite.

aiosqlite's public methods await after each statement, which would let a cancellation stop a transaction half way.
So whole functions go into the queue that they are made of, and answer by themselves: aiosqlite's own way to answer
ends the thread if the event loop has ended meanwhile. What is used of it is `_tx`, `_connection`, `_running`,
`core._STOP_RUNNING_SENTINEL` and, since 0.22, `_thread` (before, the connection is a thread itself);
tests/sqlite/test_worker.py says which versions have them.
"""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Callable
from typing import Any, TypeVar, cast

import aiosqlite
from aiosqlite import core

from ..concurrency.threads import answering, telling
from .handle import Handle

R = TypeVar("R")


class _Nobody:
    """Stands for the future of a job that answers by itself."""

    def get_loop(self) -> _Nobody:
        return self

    def call_soon_threadsafe(self, *answer: object) -> None:
        """Drop it."""


_NOBODY = _Nobody()


class Worker(Handle):
    """Runs functions on its thread, one after the other, each as a whole.

    Args:
        connector: opens the connection; called on the thread.
    """

    def __init__(self, connector: Callable[[], sqlite3.Connection]) -> None:
        """Nothing is started yet."""
        super().__init__(connector)
        self.connection = aiosqlite.Connection(connector, iter_chunk_size=64)
        self._thread: threading.Thread = getattr(self.connection, "_thread", cast("Any", self.connection))
        self._thread.daemon = True  # a script that forgets disconnect still ends
        self._starting = threading.Lock()

    def _became(self, db: sqlite3.Connection | None) -> None:
        super()._became(db)
        self.connection._connection = db

    @property
    def is_started(self) -> bool:
        """Whether there was anything to do for its thread yet."""
        return self._thread.ident is not None

    async def open(self, first: Callable[[], None]) -> None:
        """Start the thread and have it do what is ``first``, which can be tried again if it fails."""
        self.start()
        await self.run(first)

    def start(self) -> None:
        """Start the thread, if it does not run yet."""
        if self._thread.ident is None:
            with self._starting:
                if self._thread.ident is None:
                    self._thread.start()

    async def stop(self, last: Callable[[], None]) -> None:
        """Have the thread do what is ``last``, after what is under way, and end."""
        if not self.is_started:
            return
        try:
            await self.run(last)
        finally:
            self._end()

    def abandon(self, last: Callable[[], None]) -> None:
        """Do the same without waiting, from any thread and from the garbage collector."""
        if self.is_started:
            self._queue.put_nowait((_NOBODY, last))
            self._end()

    def _end(self) -> None:
        self.connection._running = False
        if self._thread is cast("Any", self.connection):  # before 0.22
            self._queue.put_nowait(core._STOP_RUNNING_SENTINEL)
        else:
            self._queue.put_nowait((_NOBODY, lambda: core._STOP_RUNNING_SENTINEL))

    @property
    def _queue(self) -> Any:
        return self.connection._tx

    async def run(self, function: Callable[[], R]) -> R:
        """Return what ``function`` returns, on the thread; a cancelled caller does not stop it."""
        done, job = answering(function)
        self._queue.put_nowait((_NOBODY, job))
        return await done

    def begin(self, function: Callable[[], R], tell: Callable[[R | None, BaseException | None], object]) -> None:
        """Do the same, and have the event loop call ``tell`` with what came of it."""
        self._queue.put_nowait((_NOBODY, telling(function, tell)))
