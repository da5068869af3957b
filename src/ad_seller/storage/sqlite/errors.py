"""What SQLite's failures mean to who called, and what to do about them."""

from __future__ import annotations

import sqlite3

from ..errors import (
    InvalidValueError,
    StorageConnectionError,
    StorageError,
    StorageTimeoutError,
    StoreUnavailableError,
)
from .locks import primary_code


def explain(error: BaseException, what: str, key: str | None, *, path: str, timeout: float) -> StorageError:
    """Return the error to raise.

    Args:
        error: what SQLite raised.
        what: what was tried.
        key: of the entry.
        path: the file.
        timeout: seconds for which a write waited for the lock.
    """
    match primary_code(error):
        case sqlite3.SQLITE_BUSY | sqlite3.SQLITE_LOCKED:
            return StorageTimeoutError(
                f"{what}: other processes kept {path!r} locked for {timeout:g} s. "
                "Nothing was written; end the long transaction that holds the lock.",
                key=key,
            )
        case sqlite3.SQLITE_TOOBIG:
            return InvalidValueError(f"{what}: larger than SQLite takes", key=key)
        case sqlite3.SQLITE_FULL:
            return StoreUnavailableError(
                f"{what}: the disk of {path!r} is full. Nothing was written; free some space.",
                key=key,
            )
        case sqlite3.SQLITE_IOERR:
            return StoreUnavailableError(
                f"{what}: {path!r}: {error} ({getattr(error, 'sqlite_errorname', 'SQLITE_IOERR')}). The disk is "
                "full, its quota is used up, or it fails: look at its free space and its health.",
                key=key,
            )
        case sqlite3.SQLITE_READONLY:
            return StoreUnavailableError(f"{what}: {path!r} is read-only; make it writable.", key=key)
        case sqlite3.SQLITE_CORRUPT | sqlite3.SQLITE_NOTADB:
            return StoreUnavailableError(
                f"{what}: {path!r} is damaged or no SQLite database ({error}). "
                "Restore a backup, or name another file.",
                key=key,
            )
        case sqlite3.SQLITE_CANTOPEN:
            return StorageConnectionError(
                f"{what}: {path!r} cannot be opened ({error}); check the folder and its permissions.",
                key=key,
            )
    return StoreUnavailableError(f"{what}: {path!r}: {error}", key=key)
