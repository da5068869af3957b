"""A database file copied while it is written to, and put back; functions for a thread of their own.

The copy is made over a transaction that reads: so it shows one moment, however long it takes, and in WAL mode
nobody who writes waits for it (https://www.sqlite.org/backup.html, https://www.sqlite.org/isolation.html). A copy
made step by step without one begins anew whenever another connection has written.
"""

from __future__ import annotations

import os
import shutil
import sqlite3
from collections.abc import Callable
from contextlib import closing, suppress
from functools import partial
from pathlib import Path
from typing import Final
from urllib.parse import quote

from ..errors import StoreUnavailableError
from . import guard
from .openfiles import open_files

_STEP: Final = 128  #: pages that are copied at once
_LOOK: Final = 1_000_000  #: steps of SQLite's machine between two looks whether somebody still waits
_SYNC: Final = 8 * 1024 * 1024  #: bytes after which they go to the disk: all at once would hold up who writes
_MAGIC: Final = b"SQLite format 3\0"  #: https://www.sqlite.org/fileformat.html#the_database_header
_BESIDE: Final = ("-wal", "-shm", "-journal")

#: What says that the copy could not be written.
_UNWRITABLE: Final = ("SQLITE_FULL", "SQLITE_IOERR_WRITE", "SQLITE_IOERR_TRUNCATE", "SQLITE_IOERR_FSYNC")

#: Called with the pages that are copied, and how many there are; what it raises ends the copy.
Told = Callable[[int, int], object]


def save(db: sqlite3.Connection, to: Path, told: Told) -> None:
    """Copy what ``db`` holds at this moment into ``to``, an empty file, as a file of its own without a log.

    Raises:
        sqlite3.Error: it cannot be read.
        OSError: it cannot be written.
    """
    db.execute("BEGIN")
    try:
        _copy_moment(db, to, told)
    except sqlite3.Error as error:
        if error.sqlite_errorname in _UNWRITABLE:
            raise OSError(str(error)) from error
        raise
    finally:
        db.execute("ROLLBACK")
    with closing(sqlite3.connect(to, isolation_level=None)) as copy:
        copy.execute("PRAGMA journal_mode = DELETE").fetchone()


def _copy_moment(db: sqlite3.Connection, to: Path, told: Told) -> None:
    db.execute("SELECT 1 FROM sqlite_master LIMIT 1").fetchone()  # from now on it is that moment
    [page_size] = db.execute("PRAGMA page_size").fetchone()
    with closing(sqlite3.connect(to, isolation_level=None)) as copy, to.open("rb") as file:
        copy.execute("PRAGMA synchronous = OFF")  # it is synchronized here, and is nothing before its end
        copy.execute("PRAGMA journal_mode = OFF")
        unsaved = 0

        def step(status: int, remaining: int, total: int) -> None:
            nonlocal unsaved
            unsaved += _STEP * page_size
            if unsaved >= _SYNC:
                unsaved = 0
                os.fsync(file.fileno())
            told(total - remaining, total)

        db.backup(copy, pages=_STEP, progress=step)


def checked(path: Path, told: Told, of: Path) -> int:
    """Look through a copy that nobody uses, and return how many entries it holds; errors name ``of``.

    Raises:
        StoreUnavailableError: it is damaged, or no store of ours.
    """
    try:
        with closing(sqlite3.connect(f"file:{quote(str(path))}?mode=rw", uri=True)) as db:
            db.set_progress_handler(partial(_look, told), _LOOK)
            faults = [row[0] for row in db.execute("PRAGMA integrity_check(5)")]
            if faults != ["ok"]:
                raise StoreUnavailableError(f"{str(of)!r} is damaged: {'; '.join(map(str, faults))}")
            [number] = db.execute("SELECT count(*) FROM kv_store").fetchone()
            return int(number)
    except sqlite3.Error as error:
        raise StoreUnavailableError(f"{str(of)!r} is no store that can be used: {error}") from error


def _look(told: Told) -> None:
    """Say that all is copied; what is raised ends the looking through."""
    told(1, 1)


def copy_of(source: Path, to: Path, told: Told) -> int:
    """Copy a backup into ``to``, an empty file, look through it, and return how many entries it holds."""
    # "rw" is read-only where the file is; elsewhere it takes its own log away again.
    if not source.is_file():
        raise StoreUnavailableError(f"There is no backup {str(source)!r}")
    try:
        with closing(sqlite3.connect(f"file:{quote(str(source))}?mode=rw", uri=True, isolation_level=None)) as db:
            save(db, to, told)
    except sqlite3.Error as error:
        raise StoreUnavailableError(f"{str(source)!r} cannot be restored: {error}") from error
    return checked(to, told, source)


def put_aside(path: Path, aside: Path) -> None:
    """Give the file at ``path`` a second name, with all that its log holds, so that it can be replaced.

    Raises:
        StoreUnavailableError: somebody has it open.
    """
    if open_files.has(path):
        raise StoreUnavailableError(f"{str(path)!r} is open in this process; disconnect, then restore")
    with path.open("rb+") as file:
        if guard.is_used_elsewhere(file.fileno()):
            raise StoreUnavailableError(
                f"{str(path)!r} is in use. Stop the agents that have it open, then restore; nothing was changed."
            )
        is_database = file.read(len(_MAGIC)) == _MAGIC
    if is_database:  # beside anything else SQLite removes a log, and what it holds may be all that is left
        with suppress(sqlite3.Error), closing(sqlite3.connect(path, isolation_level=None)) as db:
            db.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()
    for end in _BESIDE:  # of a damaged file; a log of the old file must never be beside the new one
        with suppress(FileNotFoundError):
            os.rename(f"{path}{end}", f"{aside}{end}")  # noqa: PTH104
    try:
        os.link(path, aside)
    except OSError:  # a file system without a second name: there is a moment without a file, as short as can be
        shutil.copy2(path, aside)


def drop_beside(path: Path) -> None:
    """Remove what SQLite may have left beside a copy that was given up."""
    for end in _BESIDE:
        with suppress(OSError):
            os.unlink(f"{path}{end}")  # noqa: PTH108
