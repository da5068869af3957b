"""The database file before it is opened: whether it can be, and whether it may be."""

from __future__ import annotations

import errno
import os
import stat
from contextlib import suppress
from pathlib import Path

from ..errors import MissingStoreError, StorageConnectionError, StoreUnavailableError

_MOUNTS = Path("/proc/self/mountinfo")


def check_path(path: str, *, create: bool) -> str:
    """Return what a path leads to, or raise the error that says what is wrong with it; SQLite's message does not.

    Symbolic links are followed: SQLite keeps its log beside what they lead to. A missing folder is made.

    Args:
        path: the file.
        create: False: nothing is made.

    Raises:
        MissingStoreError: there is no file, and none is to be made.
        StorageConnectionError: there can be no file here.
        StoreUnavailableError: this user may not write it, or it has a second name.
    """
    real = os.path.realpath(path)
    status = _status(real)
    if status is not None and stat.S_ISDIR(status.st_mode):
        raise StorageConnectionError(
            f"{path!r} is a directory; name a file in it, e.g. {str(Path(path) / 'ad_seller.db')!r}"
        )
    if not create and status is None:
        raise MissingStoreError(
            f"The store was not found: there is no file {path!r}. Check the path (--url, DATABASE_URL, "
            ".env) and the working folder."
        )
    folder = os.path.dirname(real)  # noqa: PTH120 - pathlib takes longer than the looks at the disk
    if status is None:
        _make_folder(Path(folder))
    elif not os.access(real, os.W_OK):
        raise StoreUnavailableError(f"{real!r} is read-only for this user; make it writable")
    if not os.access(folder, os.W_OK):
        raise StoreUnavailableError(
            f"The folder {folder!r} is read-only for this user; SQLite keeps its log beside the file"
        )
    if status is not None:
        _check_names(real, status)
    return real


def _status(real: str) -> os.stat_result | None:
    """Return what is there, or None."""
    try:
        return os.stat(real)  # noqa: PTH116 - as above
    except OSError as error:
        if error.errno in (errno.ENOENT, errno.ENOTDIR, errno.ELOOP):
            return None
        raise


def _make_folder(folder: Path) -> None:
    """Make a missing folder, for its owner's eyes only, as older agents do."""
    if folder.is_dir():
        return
    try:
        missing = [one for one in (folder, *folder.parents) if not one.exists()]
        for one in reversed(missing):
            one.mkdir(mode=0o700, exist_ok=True)
        folder.stat()
    except OSError as error:
        raise StorageConnectionError(
            f"There is no folder {str(folder)!r} for the database, and it cannot be made ({error.strerror}); "
            "create it first"
        ) from error
    if not folder.is_dir():
        raise StorageConnectionError(f"There is no folder {str(folder)!r} for the database: that is a file")


def _check_names(real: str, status: os.stat_result) -> None:
    """Refuse a file that has a second name: SQLite keeps a log for each, and each would hide the other's writes.

    Source: https://www.sqlite.org/howtocorrupt.html#_multiple_links_to_the_same_file
    """
    if (links := status.st_nlink) > 1:
        raise StoreUnavailableError(
            f"{real!r} has {links} names (hard links); SQLite keeps a log for each name, so that writes under "
            "one would destroy those under another. Remove the other names, or copy the file."
        )
    if _is_mounted(real):
        raise StoreUnavailableError(
            f"{real!r} is mounted as a single file; SQLite keeps its log beside it, where others do not see "
            "it, so that writes would be lost. Mount the folder instead."
        )


def _is_mounted(file: str) -> bool:
    """Tell whether the file itself is where something is mounted; False where the system does not tell.

    Source: https://man7.org/linux/man-pages/man5/proc_pid_mountinfo.5.html
    """
    place = os.fsencode(file)
    for special in b"\\ \t\n":  # as the kernel writes them
        place = place.replace(bytes([special]), b"\\%03o" % special)
    try:
        mounts = _MOUNTS.read_bytes()
    except OSError:
        return False
    return place in mounts and any(line.split(b" ")[4] == place for line in mounts.splitlines() if place in line)


def make_private(real: str) -> None:
    """Make the file if there is none, for its owner's eyes only."""
    with suppress(FileExistsError):
        # Only a new file is opened and closed here: closing drops this process's locks on it.
        os.close(os.open(real, os.O_CREAT | os.O_EXCL | os.O_RDWR, 0o600))
