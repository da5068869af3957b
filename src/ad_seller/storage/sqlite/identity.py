"""Which files a path leads to: the database, its log (-wal) and the log's index (-shm)."""

from __future__ import annotations

import os
from typing import NamedTuple

FileId = tuple[int, int]  #: device and inode


class Identity(NamedTuple):
    """The three files; None for what is not there."""

    main: FileId | None
    log: FileId | None = None
    shm: FileId | None = None


def file_at(path: str) -> FileId | None:
    """Return what the path leads to, or None."""
    try:
        status = os.stat(path)  # noqa: PTH116 - on the way of each write, and pathlib takes three times as long
    except OSError:
        return None
    return status.st_dev, status.st_ino


def identity_of(path: str, real: str) -> Identity:
    """Return what lies there now.

    Args:
        path: the database, as it was named.
        real: the same without symbolic links: SQLite keeps the log beside the file itself.
    """
    return Identity(file_at(path), file_at(f"{real}-wal"), file_at(f"{real}-shm"))
