"""One SQLite connection on a thread of its own, that any event loop may use: all that we touch inside aiosqlite.

aiosqlite's public methods await after each statement, which would let a cancellation stop a transaction half way.
So whole functions go into the queue that they are made of, and answer by themselves: aiosqlite's own way to answer
ends the thread if the event loop has ended meanwhile. What is used of it is `_tx`, `_connection` and, since 0.22,
`_thread` (before, the connection is a thread itself); tests/sqlite/test_worker.py says which versions have it.
"""

from __future__ import annotations

import asyncio
import sqlite3
import threading
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from typing import Any, TypeVar, cast

import aiosqlite
from aiosqlite import core

from ..concurrency.tasks import settle

R = TypeVar("R")


class _Nobody:
    """Stands for the future of a job that answers by itself."""

    def get_loop(self) -> _Nobody:
        return self

    def call_soon_threadsafe(self, *answer: object) -> None:
        """Drop it."""


_NOBODY = _Nobody()


class Worker:
    """Runs functions on a connection, one after the other, each as a whole.

    Args:
        connector: opens the connection; called on the thread, by `open`.
    """

    def __init__(self, connector: Callable[[], sqlite3.Connection]) -> None:
        """Nothing is started yet."""
        self.connection = aiosqlite.Connection(connector, iter_chunk_size=64)
        self._connector = connector
        self._thread: threading.Thread = getattr(self.connection, "_thread", cast("Any", self.connection))
        self._thread.daemon = True  # a script that forgets disconnect still ends
        self._starting = threading.Lock()

    @property
    def is_open(self) -> bool:
        """Whether there is a connection."""
        return self.connection._connection is not None

    async def open(self) -> None:
        """Open the connection, unless it is open; what goes wrong is raised, and can be tried again."""
        with self._starting:
            if self._thread.ident is None:
                self._thread.start()
        await self._put(self._open)

    def _open(self) -> None:
        if self.connection._connection is None:
            self.connection._connection = self._connector()

    async def run(self, function: Callable[[sqlite3.Connection], R]) -> R:
        """Return what ``function`` makes of the connection, on the thread; a cancelled caller does not stop it."""
        return await self._put(lambda: function(self.connection._conn))

    async def stop(self) -> None:
        """Close the connection and end the thread, after what is under way."""
        if self._thread.ident is None:
            return
        try:
            await self._put(self._close)
        finally:
            self._end()

    def _end(self) -> None:
        if self._thread is cast("Any", self.connection):  # before 0.22
            self._queue.put_nowait(core._STOP_RUNNING_SENTINEL)
        else:
            self._queue.put_nowait((_NOBODY, lambda: core._STOP_RUNNING_SENTINEL))

    def _close(self) -> None:
        db, self.connection._connection = self.connection._connection, None
        self.connection._running = False
        if db is not None:
            db.close()

    @property
    def _queue(self) -> Any:
        return self.connection._tx

    async def _put(self, function: Callable[[], R]) -> R:
        loop = asyncio.get_running_loop()
        done: asyncio.Future[R] = loop.create_future()

        def job() -> None:
            try:
                result = function()
            except BaseException as error:
                answer = partial(settle, done, error=error)
            else:
                answer = partial(settle, done, result)
            with suppress(RuntimeError):  # the event loop has ended, nobody waits any more
                loop.call_soon_threadsafe(answer)

        self._queue.put_nowait((_NOBODY, job))
        return await done
