"""A connection that is opened when it is needed, and that another thread can close between two uses."""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Callable
from contextlib import suppress
from typing import TypeVar

R = TypeVar("R")


class Handle:
    """A way to a database for one thread at a time.

    Whoever does not wait for it takes it by `acquire` in a ``try``, and calls `let_go` at each exception: an
    interrupt can come just when `acquire` has returned, though not where a ``with`` begins.

    Args:
        connector: opens a connection.

    Attributes:
        busy: a lock that no other thread can release than the one that has it; it is never taken twice.
    """

    def __init__(self, connector: Callable[[], sqlite3.Connection]) -> None:
        """Nothing is open yet."""
        self._connector = connector
        self.busy = threading.RLock()
        self.db: sqlite3.Connection | None = None

    def use(self, function: Callable[[sqlite3.Connection], R]) -> R:
        """Return what ``function`` makes of the connection, which is opened now if it is not open."""
        with self.busy:
            return function(self.opened())

    def opened(self) -> sqlite3.Connection:
        """Return the connection, which is opened now if it is not open; under `busy`."""
        if self.db is None:
            self._became(self._connector())
        assert self.db is not None  # noqa: S101 - for the type checker
        return self.db

    def drop(self) -> None:
        """Close the connection; the next use opens another. Under `busy`."""
        db = self.db
        self._became(None)
        if db is not None:
            db.close()

    def close(self) -> None:
        """Close the connection when it is not in use; the first error is that of SQLite."""
        with self.busy:
            self.drop()

    def _became(self, db: sqlite3.Connection | None) -> None:
        self.db = db


def let_go(*handles: Handle) -> None:
    """Release those that this thread has; who was interrupted does not know."""
    for handle in handles:
        with suppress(RuntimeError):
            handle.busy.release()
