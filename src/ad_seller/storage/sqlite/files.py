"""The database file itself: whether it can be opened, and whether it may be."""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path

from ..errors import NotConnectedError, StorageConnectionError, StoreUnavailableError


class OpenFiles:
    """The database files that are open in this process or were so in the one that it was forked from.

    SQLite keeps locks in tables of the process. A forked child inherits the tables but not the locks, and would
    write over the parent: https://www.sqlite.org/howtocorrupt.html#_carrying_an_open_database_connection_across_a_fork_
    """

    def __init__(self) -> None:
        self._users: dict[tuple[int, int], list[int]] = {}

    def enter(self, path: Path) -> tuple[int, int]:
        """Note that the file is being opened, and make it if there is none; for its owner's eyes only.

        Raises:
            NotConnectedError: the process was forked while the file was open.
        """
        with suppress(FileExistsError):
            # Only a new file is opened and closed here: closing drops this process's locks on it.
            os.close(os.open(path, os.O_CREAT | os.O_EXCL | os.O_RDWR, 0o600))
        status = path.stat()
        file = (status.st_dev, status.st_ino)
        users = self._users.setdefault(file, [])
        if any(pid != os.getpid() for pid in users):
            raise NotConnectedError(
                f"This process was forked while {str(path)!r} was open; SQLite cannot use the file here without "
                "damaging it. Connect only after forking, or start processes with 'spawn'."
            )
        users.append(os.getpid())
        return file

    def check(self, path: Path, file: tuple[int, int]) -> None:
        """Make sure that the path still leads to the file that is open: writes to another one would be lost.

        Raises:
            StoreUnavailableError: the file was removed, or another one put in its place.
        """
        try:
            status = path.stat()
            same = (status.st_dev, status.st_ino) == file
        except FileNotFoundError:
            same = False
        if not same:
            raise StoreUnavailableError(
                f"{str(path)!r} was removed or replaced while it was open. Nothing was written; disconnect, "
                "put the file back and connect again."
            )

    def leave(self, file: tuple[int, int]) -> None:
        """Note that one user has closed the file."""
        self._users[file].remove(os.getpid())
        if not self._users[file]:
            del self._users[file]


#: The files of this process.
open_files = OpenFiles()


def check_path(path: Path) -> None:
    """Raise the error that says what is wrong with the path, which SQLite's own message does not."""
    if path.is_dir():
        raise StorageConnectionError(
            f"{str(path)!r} is a directory; name a file in it, e.g. {str(path / 'ad_seller.db')!r}"
        )
    if not path.parent.is_dir():
        raise StorageConnectionError(f"There is no folder {str(path.parent)!r} for the database; create it first")
    if path.exists() and not os.access(path, os.W_OK):
        raise StoreUnavailableError(f"{str(path)!r} is read-only for this user; make it writable")
    if not os.access(path.parent, os.W_OK):
        raise StoreUnavailableError(
            f"The folder {str(path.parent)!r} is read-only for this user; SQLite keeps its log beside the file"
        )
