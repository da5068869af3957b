"""The database files that are open in this process, with everything that has them open."""

from __future__ import annotations

import logging
import os
import sqlite3
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from ..concurrency.forks import fork_safe_lock
from ..driver.failures import LostError, NotStartedError
from ..errors import NotConnectedError, StoreUnavailableError
from . import guard
from .files import make_private
from .handle import Handle, let_go
from .identity import FileId, Identity, Names, file_at, identity_of
from .log import LogGoneError, save, unsaved

log = logging.getLogger("ad_seller.storage")

_LOOK = 0.005  #: seconds between two looks of readers at the files
_WATCH = 0.5  #: seconds between two looks of the thread that watches while nobody calls
_PAUSE = 0.01  #: seconds between two looks for a log that is to come back
_LAST = 5.0  #: seconds that a close does so
_ATTEMPT = 0.1  #: seconds that one attempt waits for readers elsewhere that hold back the saving of a log


class OpenFile:
    """A database file, and the connections of this process to it: SQLite shares one log among all of them.

    Args:
        path: as it was named.
        real: without symbolic links.
        main: the file itself.
    """

    def __init__(self, path: str, real: str, main: FileId) -> None:
        """Nothing is open yet."""
        self.path = path
        self.main = main
        self.pid = os.getpid()
        self.handles: set[Handle] = set()
        self._real = real
        self._names = Names(path, real)
        self._files: Identity | None = None
        self.next_look = 0.0  # when a read is to call `check`, in the time of `perf_counter`
        self._opening = threading.Lock()  # while SQLite opens a descriptor
        self._state = threading.Lock()  # for what stands here; held for a moment
        self._held: list[tuple[int, FileId, tuple[int, int]]] = []
        self._unused = threading.Event()
        self._is_watched = False
        self._renewing = threading.Lock()  # taken before the locks of handles, never under one

    def _watch(self) -> None:
        """Look after the log also when nobody calls: what it holds can be saved before others come."""
        while not self._unused.wait(_WATCH):
            if not self.is_whole():
                with suppress(NotStartedError, sqlite3.Error):  # the next look tries again
                    self.renew()

    def end(self) -> None:
        """Nobody uses the file any more."""
        self._unused.set()

    def enter(self, handle: Handle) -> None:
        """Note that a handle is going to use the file."""
        with self._state:
            self.handles.add(handle)

    def leave(self, handle: Handle) -> None:
        """Close a handle for good; the last one closes the file, and SQLite puts its log away."""
        if self.handles == {handle}:
            self._save_at_last()
        with handle.busy:
            with self._state:
                self.handles.discard(handle)
                is_last = not self.handles
            if is_last:
                if self.is_whole() or not self.is_there():
                    guard.release(self._held)
                self._files = None  # SQLite removes the log now, and `_watch` must not take that for a loss
            handle.drop()

    def _save_at_last(self) -> None:
        """Save what stands in a log that is gone: there will be nobody left who has it open."""
        give_up = time.monotonic() + _LAST
        while self.is_there() and not self.is_whole():
            try:
                self.renew()
            except NotStartedError as error:
                if time.monotonic() > give_up:
                    log.error("What the log of %r held is lost: %s", self.path, error)
                    return

    def wait_for_log(self, descriptor: int | None, patience: float) -> None:
        """Before a first connection reads: wait while others use a log that is not there.

        Somebody removed it; those who have it open save it, and until then the file misses what it holds.

        Raises:
            StoreUnavailableError: they have not.
        """
        give_up = time.monotonic() + patience
        while self._misses_log(descriptor):
            if time.monotonic() >= give_up:
                raise StoreUnavailableError(
                    f"The log of {self.path!r} ({self._real}-wal) was removed while another process has it open. "
                    "Nothing was changed; that process saves it with its next call, then connect again."
                )
            time.sleep(_PAUSE)

    def _misses_log(self, descriptor: int | None) -> bool:
        if self._files is not None or descriptor is None or file_at(f"{self._real}-wal") is not None:
            return False
        return guard.is_used_elsewhere(descriptor)

    def is_there(self) -> bool:
        """Tell whether the path still leads to the file itself."""
        return file_at(self.path) == self.main

    def is_whole(self) -> bool:
        """Tell whether the file and its log are still those that are open."""
        files = self._files
        return files is None or files == self._now()

    def connect(
        self, connector: Callable[[], sqlite3.Connection], *, is_writer: bool
    ) -> tuple[sqlite3.Connection, int | None]:
        """Return a new connection with its descriptor of the file; None if it cannot be told, or is not needed.

        It is needed by writers, and by whoever comes first: see `wait_for_log`.
        """
        with self._opening:
            if self._files is not None and not is_writer:
                return connector(), None
            before = guard.descriptors().get(self.main, [])
            db = connector()
            new = set(guard.descriptors().get(self.main, [])).difference(before)
        return db, new.pop() if len(new) == 1 else None

    def adopt(self, db: sqlite3.Connection, *, is_writer: bool) -> None:
        """Take in a connection that has just been opened and has read.

        Raises:
            LogGoneError: it reads another log than the connections beside it.
        """
        files = self._now()
        if db.execute("PRAGMA journal_mode").fetchone()[0] != b"wal":
            files = Identity(self.main)  # a file system without shared memory: SQLite keeps its older log
        opened = guard.descriptors() if is_writer or self._files is None else {}
        with self._state:
            first = self._files is None
            if first and _are_open(files, opened):
                self._files = files
            if self._files != files:
                raise LogGoneError
        if files.shm is not None and (first or is_writer):
            self._held = guard.hold(files, opened)

    def check(self) -> None:
        """Make sure that what is written goes where the path leads.

        Raises:
            StoreUnavailableError: the file itself was moved, deleted or replaced.
            LogGoneError: its log was, or the index of the log.
        """
        files = self._files
        if files is None or self._names.lead_to(files):
            self.next_look = time.perf_counter() + _LOOK
            return
        if not self.is_there():
            raise StoreUnavailableError(
                f"{self.path!r} was moved or deleted while it was open, or another file was put in its place. "
                "Nothing was written; disconnect, put the file back and connect again."
            )
        if files.log is not None:
            raise LogGoneError

    def check_written(self) -> None:
        """Do the same after a write, whose effect is unknown if it fails."""
        try:
            self.check()
        except (StoreUnavailableError, LogGoneError) as error:
            raise LostError(f"{self.path!r} or its log was removed or replaced meanwhile") from error
        if not self._is_watched:  # from now on there is something to lose
            self._is_watched = True
            threading.Thread(target=self._watch, name="ad-seller-storage-watch", daemon=True).start()

    def renew(self) -> str:
        """Save what a log that is gone holds, and close all connections of this process; each opens anew.

        Returns:
            What became of it, as a sentence.

        Raises:
            NotStartedError: readers in other processes hold it back; it can be tried again.
        """
        with self._renewing:
            files = self._files
            if files is None or self.is_whole() or not self.is_there():
                return "It is open anew."  # another thread was faster
            handles = sorted(self.handles, key=id)
            try:
                for handle in handles:
                    handle.busy.acquire()
                told = self._saved(handles, files)
                for handle in handles:
                    handle.drop()
                with self._state:
                    self._files = None
                let_go(*handles)
            except BaseException:
                let_go(*handles)  # also where it was interrupted while it did so
                raise
        log.warning("The log of %r was removed or replaced while it was open. %s", self.path, told)
        return told

    def _saved(self, handles: list[Handle], files: Identity) -> str:
        """Save what the log holds; return what became of it."""
        pages = unsaved(files)
        db = next((handle.db for handle in handles if handle.db is not None), None)
        if pages == 0 or db is None:
            return "It held nothing that is missing in the file."
        if save(db, files, self._now, _ATTEMPT):
            return "What it held was saved."
        if self._now().shm in (None, files.shm):
            raise NotStartedError(f"the log of {self.path!r} is gone, and others that read it hold back its saving")
        return f"Another process has begun a new one; {pages} pages of acknowledged writes are lost with it."

    def _now(self) -> Identity:
        if self._files is not None and self._files.log is None:
            return Identity(file_at(self.path))
        return identity_of(self.path, self._real)


def _are_open(files: Identity, opened: dict[FileId, list[int]]) -> bool:
    """Tell whether the files are those that this process has open: somebody may have put others there since."""
    return not opened or all(file is None or file in opened for file in files)


class OpenFiles:
    """The files that are open in this process or were so in the one that it was forked from.

    SQLite keeps locks in tables of the process. A forked child inherits the tables but not the locks, and would
    write over the parent: https://www.sqlite.org/howtocorrupt.html#_carrying_an_open_database_connection_across_a_fork_
    """

    def __init__(self) -> None:
        self._files: dict[FileId, OpenFile] = {}
        self._users: dict[FileId, int] = {}
        self._lock = fork_safe_lock()

    def enter(self, path: str, real: str) -> OpenFile:
        """Note that the file is being opened, and make it if there is none; for its owner's eyes only.

        Args:
            path: as it was named.
            real: without symbolic links.

        Raises:
            NotConnectedError: the process was forked while the file was open.
        """
        make_private(real)
        status = os.stat(real)  # noqa: PTH116 - pathlib takes several times as long
        main = (status.st_dev, status.st_ino)
        with self._lock:
            file = self._files.get(main)
            if file is None:
                self._files[main] = file = OpenFile(str(Path(path).absolute()), real, main)
            self._users[main] = self._users.get(main, 0) + 1
        if file.pid == os.getpid():
            return file
        raise NotConnectedError(
            f"This process was forked while {path!r} was open; SQLite cannot use the file here without "
            "damaging it. Connect only after forking, or start processes with 'spawn'."
        )

    def has(self, path: Path) -> bool:
        """Tell whether the file is open in this process."""
        return file_at(str(path)) in self._files

    def leave(self, file: OpenFile) -> None:
        """Note that one user has closed the file."""
        with self._lock:
            self._users[file.main] -= 1
            if self._users[file.main] == 0:
                del self._users[file.main], self._files[file.main]
                file.end()


#: The files of this process.
open_files = OpenFiles()
