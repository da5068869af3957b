"""When a connection reads or writes: what it sees at one moment, and the wait for the lock of those who write."""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Callable

from ..driver.failures import NotStartedError

#: Seconds that one attempt to write waits for the lock.
_LOCK_ATTEMPT = 0.1
_LOCK_PAUSE = (0.0002, 0.001)  #: seconds between two looks at it, at least and at most

_LOCKED = (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED)


def primary_code(error: BaseException) -> int | None:
    """Return SQLite's primary result code, or None if the error carries none."""
    code: int | None = getattr(error, "sqlite_errorcode", None)
    return None if code is None else code & 0xFF


def is_locked(error: BaseException) -> bool:
    """Tell whether another connection held the lock."""
    return primary_code(error) in _LOCKED


def take_write_lock(db: sqlite3.Connection) -> None:
    """Begin a transaction that writes.

    The waits are ours and short: SQLite's own grow to 25 ms and more, and then a process that has just given
    the lock back takes it again before those that wait (https://www.sqlite.org/src/file/src/main.c,
    sqliteDefaultBusyCallback).

    Raises:
        NotStartedError: others held it all the time; the calls go back into the queue, so that each waits its own
            time and a cancelled one leaves at once.
    """

    def begin() -> Exception | None:
        try:
            db.execute("BEGIN IMMEDIATE")
        except sqlite3.OperationalError as error:
            if not is_locked(error):
                raise
            return error
        return None

    wait_for(begin)


def wait_for(attempt: Callable[[], Exception | None]) -> None:
    """Try for a short time to take a lock that others may hold; ``attempt`` returns why it could not.

    Raises:
        NotStartedError: they held it all the time.
    """
    if (error := attempt()) is None:
        return
    import random  # costs half a millisecond of our start, and most never wait

    give_up = time.monotonic() + _LOCK_ATTEMPT
    while error is not None:
        if time.monotonic() > give_up:
            raise NotStartedError("another process holds the database's write lock") from error
        time.sleep(random.uniform(*_LOCK_PAUSE))  # noqa: S311 - no secret
        error = attempt()


class one_moment:  # noqa: N801 - reads as a statement
    """A read transaction, if there is more than one statement to keep together.

    Args:
        db: the connection.
        statements: how many there are.
    """

    def __init__(self, db: sqlite3.Connection, statements: int = 2) -> None:
        """Begin nothing yet."""
        self._db = db if statements > 1 and not db.in_transaction else None

    def __enter__(self) -> None:
        """Begin it."""
        if self._db is not None:
            self._db.execute("BEGIN")

    def __exit__(self, *error: object) -> None:
        """End it."""
        if self._db is not None and self._db.in_transaction:
            self._db.execute("COMMIT")
