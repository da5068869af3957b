"""What processes on one file tell each other of a clock that was set back.

Each goes on by the time that has passed (`SteadyClock`). Those that begin later learn it from a row that says which
time belongs to which reading of the monotonic clock, which all processes of a machine share until it is started
anew (https://man7.org/linux/man-pages/man3/clock_gettime.3.html).
"""

from __future__ import annotations

import sqlite3
from pathlib import Path

from ..records.expiry import SteadyClock

_BOOT = Path("/proc/sys/kernel/random/boot_id")


def boot() -> str | None:
    """Return what changes when the machine is started anew; None where the system does not tell."""
    try:
        return _BOOT.read_text().strip()
    except OSError:
        return None


def learn(db: sqlite3.Connection, clock: SteadyClock) -> None:
    """Follow the clock of the processes that have the file in use, if one of them was ahead."""
    if db.execute("SELECT 1 FROM sqlite_master WHERE name = 'kv_store_clock'").fetchone() is None:
        return
    row = db.execute("SELECT at, monotonic FROM kv_store_clock WHERE boot = ?", (boot(),)).fetchone()
    if row is not None:
        clock.follow((row[0], row[1]))


def tell(db: sqlite3.Connection, clock: SteadyClock) -> None:
    """Write down where our clock is; the caller has noticed that the system's was set back."""
    db.execute("BEGIN IMMEDIATE")
    try:
        db.execute("CREATE TABLE IF NOT EXISTS kv_store_clock (boot TEXT, at REAL, monotonic REAL)")
        learn(db, clock)
        db.execute("DELETE FROM kv_store_clock")
        db.execute("INSERT INTO kv_store_clock (boot, at, monotonic) VALUES (?, ?, ?)", (boot(), *clock.anchor))
    except BaseException:
        db.execute("ROLLBACK")
        raise
    db.execute("COMMIT")
