"""Locks that a copy of the open file does not take away.

SQLite's locks are the older POSIX ones: closing any descriptor of a file drops all of them that the process holds
on it, so a plain copy of an open database makes other processes believe that nobody uses it, and the last of them
to leave removes the log (https://www.sqlite.org/howtocorrupt.html, section 2.2). Locks of open file descriptions,
which Linux has, stay until they are given back (https://man7.org/linux/man-pages/man2/fcntl_locking.2.html). So
the two that say "in use", and that of the one who writes, are held a second time, by such locks, on SQLite's own
descriptors. Elsewhere a log that is gone is noticed, not prevented.
"""

from __future__ import annotations

import fcntl
import os
import struct
from collections.abc import Iterator
from contextlib import contextmanager, suppress

from .identity import FileId, Identity

#: fcntl's command; None where there are no such locks, or where the structure below has another form.
_SET: int | None = getattr(fcntl, "F_OFD_SETLK", None) if struct.calcsize("P") == 8 else None
_GET: int | None = getattr(fcntl, "F_OFD_GETLK", None) if _SET is not None else None
_FORM = "@hhqqi4x"  #: of the structure: kind, whence, start, length, process

# The bytes that SQLite locks: https://www.sqlite.org/src/file/src/os.h and os_unix.c.
_PENDING = (0x40000000, 1)  #: of the database; who wants to read takes it for a moment
_SHARED = (0x40000002, 510)  #: of the database; held by everybody who has it open in WAL mode
_WRITING = (0x40000200, 1)  #: of the database; ours alone, beside SQLite's own in a page that never holds data
_DEAD_MAN = (128, 1)  #: of the log's index (-shm); held by everybody who uses it


def descriptors() -> dict[FileId, list[int]]:
    """Return the open descriptors of this process by file; none where the system does not tell."""
    found: dict[FileId, list[int]] = {}
    try:
        names = os.listdir("/dev/fd")  # noqa: PTH208 - each name is a number
    except OSError:
        return found
    for descriptor in map(int, names):
        try:
            status = os.fstat(descriptor)
        except OSError:  # closed meanwhile, that of this listing first of all
            continue
        found.setdefault((status.st_dev, status.st_ino), []).append(descriptor)
    return found


def hold(files: Identity, opened: dict[FileId, list[int]]) -> list[tuple[int, FileId, tuple[int, int]]]:
    """Say "in use" once more, on the given descriptors of the files; harmless twice.

    Returns:
        What `release` wants to have.
    """
    held = []
    for file, place in ((files.main, _SHARED), (files.shm, _DEAD_MAN)):
        if _SET is not None and file is not None:
            held += [(descriptor, file, place) for descriptor in opened.get(file, [])]
    for descriptor, _, place in held:
        _lock(descriptor, fcntl.F_RDLCK, place)
    return held


def release(held: list[tuple[int, FileId, tuple[int, int]]]) -> None:
    """Give that back; SQLite's own locks stay."""
    for descriptor, file, place in held:
        with suppress(OSError):  # closed since
            status = os.fstat(descriptor)
            if (status.st_dev, status.st_ino) == file:
                _lock(descriptor, fcntl.F_UNLCK, place)


@contextmanager
def newcomers_wait(file: FileId) -> Iterator[None]:
    """Keep others from opening the file for the length of a block; they take it for a moment of business."""
    mine = descriptors().get(file, [])[:1] if _SET is not None else []
    for descriptor in mine:
        _lock(descriptor, fcntl.F_WRLCK, _PENDING)
    try:
        yield
    finally:
        for descriptor in mine:
            _lock(descriptor, fcntl.F_UNLCK, _PENDING)


def _lock(descriptor: int, kind: int, place: tuple[int, int]) -> None:
    with suppress(OSError):  # a file system without such locks, a descriptor that cannot be read
        fcntl.fcntl(descriptor, _SET or 0, _flock(kind, place))


def _flock(kind: int, place: tuple[int, int]) -> bytes:
    return struct.pack(_FORM, kind, os.SEEK_SET, *place, 0)


_TAKE, _GIVE_BACK = (_flock(kind, _WRITING) for kind in (fcntl.F_WRLCK, fcntl.F_UNLCK))


class WritersLock:
    """A lock that our processes hold while they write: a copy of the -shm takes SQLite's own away.

    Args:
        descriptor: of the connection that writes; None where it is not known, and the lock does nothing.
        file: the database.
    """

    def __init__(self, descriptor: int | None, file: FileId) -> None:
        """Hold nothing yet."""
        self._descriptor = descriptor
        self._file = file

    def take(self) -> Exception | None:
        """Take it; return why not if another process or connection has it."""
        if self._descriptor is None or _SET is None:
            return None
        try:
            status = os.fstat(self._descriptor)
            if (status.st_dev, status.st_ino) == self._file:
                fcntl.fcntl(self._descriptor, _SET, _TAKE)
        except (BlockingIOError, PermissionError) as error:
            return error
        except OSError:
            pass  # a file system without such locks
        return None

    def give_back(self) -> None:
        """Let others write."""
        if self._descriptor is not None and _SET is not None:
            with suppress(OSError):
                fcntl.fcntl(self._descriptor, _SET, _GIVE_BACK)


def is_used_elsewhere(descriptor: int) -> bool:
    """Tell whether others have a database in WAL mode open that has been opened here and not been read yet.

    False where the system does not tell. (Where the mode stands: https://www.sqlite.org/fileformat.html)
    """
    if _GET is None:
        return False
    try:
        answer = fcntl.fcntl(descriptor, _GET, _flock(fcntl.F_WRLCK, _SHARED))
        kind: int = struct.unpack(_FORM, answer)[0]
        return kind != fcntl.F_UNLCK and os.pread(descriptor, 2, 18) == b"\x02\x02"
    except OSError:
        return False
