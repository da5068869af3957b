"""A log that was taken away while it was in use: what it still holds, and how that is saved.

The layout is SQLite's: https://www.sqlite.org/walformat.html
"""

from __future__ import annotations

import os
import sqlite3
import struct
import time
from collections.abc import Callable
from typing import NamedTuple

from . import guard
from .identity import FileId, Identity

_PAUSE = 0.005  #: seconds between two tries to copy what other readers hold back


class LogGoneError(Exception):
    """The log or its index is no longer the one that our connections write to."""


class _State(NamedTuple):
    """What the index of a log says, and whether the log is the one that it speaks of."""

    frames: int
    saved: int
    belongs: bool


def unsaved(files: Identity) -> int:
    """Return how many pages stand only in the log that this process has open; 0 if that cannot be told."""
    state = _state(files)
    return max(0, state.frames - state.saved) if state is not None and state.belongs else 0


def save(db: sqlite3.Connection, files: Identity, look: Callable[[], Identity], patience: float) -> bool:
    """Copy the pages of a log that is gone into the database; return whether nothing is missing there.

    That is right as long as nobody has begun another log: the index is still the one that we share with all who use
    the file, and it speaks of our log, or there is none at its path, and whoever opens the file would make one.

    Args:
        db: a connection that was opened while the files were there.
        files: what it has open.
        look: tells what lies at their paths.
        patience: seconds to wait for readers in other processes.
    """
    if unsaved(files) == 0:
        return True
    if files.main is None:
        return False
    with guard.newcomers_wait(files.main):
        now = look()
        if now.main == files.main and now.shm in (None, files.shm):
            return _copied(db, files, patience)
    return now.log == files.log  # it is there: whoever opens the file reads it, and makes another index


def _copied(db: sqlite3.Connection, files: Identity, patience: float) -> bool:
    give_up = time.monotonic() + patience
    while True:
        db.execute("PRAGMA wal_checkpoint(FULL)").fetchone()
        if unsaved(files) == 0:
            return True
        if time.monotonic() > give_up:
            return False
        time.sleep(_PAUSE)


def _state(files: Identity) -> _State | None:
    opened = guard.descriptors()
    log, index = _first(opened, files.log), _first(opened, files.shm)
    if log is None or index is None:
        return None
    try:
        header, state = os.pread(log, 32, 0), os.pread(index, 136, 0)
    except OSError:
        return None
    if len(header) < 32 or len(state) < 136:
        return None
    frames, saved = struct.unpack_from("@I", state, 16)[0], struct.unpack_from("@I", state, 96)[0]
    return _State(frames, saved, belongs=header[16:24] == state[32:40])


def _first(opened: dict[FileId, list[int]], file: FileId | None) -> int | None:
    return opened.get(file, [None])[0] if file is not None else None
