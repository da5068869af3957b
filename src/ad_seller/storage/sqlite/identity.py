"""Which files a path leads to: the database, its log (-wal) and the log's index (-shm)."""

from __future__ import annotations

import os
import stat
import time
from typing import NamedTuple

FileId = tuple[int, int]  #: device and inode

#: Seconds without a change after which a folder's time of change tells of the next one. File systems count it in
#: steps, of some milliseconds on Linux; those that count whole seconds, in steps of up to two.
_SETTLED, _SETTLED_COARSE = 0.1, 3.0


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


class Names:
    """The names of the three files, and whether they still lead where they did: mostly by one look at their folder.

    Only a change of the folder gives a name to another file or takes it away, and each sets the folder's time of
    change (st_ctime), which no program can set back. So as long as the folder's path leads to the same folder, and
    that has not changed since the names were looked at, they lead to the same files. This holds for names that are
    no symbolic links, and for a change that was a while ago when they were looked at: two within one step of the
    file system's time cannot be told apart.

    Args:
        path: the database, as it was named.
        real: the same without symbolic links.
    """

    def __init__(self, path: str, real: str) -> None:
        """Nothing has been looked at."""
        self._path = path
        self._real = real
        self._folder = os.path.dirname(real)  # noqa: PTH120 - a str, for `os.stat`
        self._is_straight = path == real
        self._settled: tuple[Identity, tuple[int, int, int]] | None = None

    def lead_to(self, files: Identity) -> bool:
        """Tell whether they lead to these files; safe in several threads at once."""
        state = _folder_at(self._folder)
        if state is not None and (files, state) == self._settled:
            return self._is_straight or file_at(self._path) == files.main
        now = time.time_ns()  # before the names are looked at: what changes after that is later than this
        if identity_of(self._path, self._real) != files:
            return False
        if state is not None and now - state[2] > _settled_after(state[2]) and not self._have_link():
            self._settled = files, state
        return True

    def _have_link(self) -> bool:
        """Tell whether one of the names is a symbolic link, or was taken away at this moment."""
        try:
            return any(stat.S_ISLNK(os.lstat(self._real + suffix).st_mode) for suffix in ("", "-wal", "-shm"))
        except OSError:
            return True


def _settled_after(changed: int) -> float:
    """Return how many nanoseconds must have passed since a change, from how it was counted."""
    return 1e9 * (_SETTLED if changed % 1_000_000_000 else _SETTLED_COARSE)


def _folder_at(path: str) -> tuple[int, int, int] | None:
    """Return a folder's device and inode, and when its entries last changed; None if there is none."""
    try:
        status = os.stat(path)  # noqa: PTH116 - as above
    except OSError:
        return None
    return status.st_dev, status.st_ino, status.st_ctime_ns
