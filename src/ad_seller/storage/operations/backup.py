"""A SQLite store saved while it is used, and put back."""

from __future__ import annotations

import asyncio
import os
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TypeVar

from ..base import StorageBackend
from ..concurrency.tasks import run_to_end
from ..concurrency.threads import in_thread
from ..errors import InvalidArgumentError, StoreUnavailableError, UnsupportedError
from ..sqlite import backup as sqlite
from ..sqlite.backend import SQLiteBackend
from ..sqlite.url import MEMORY
from .files import whole_path

T = TypeVar("T")

#: Called with the part of the work that is done, and the whole, in pages of the file; from another thread.
PageProgress = Callable[[int, int], object]


@dataclass(frozen=True, slots=True)
class BackedUp:
    """What was saved.

    Attributes:
        entries: how many there are, expired ones that have not been reclaimed included.
        size: bytes of the file.
    """

    entries: int
    size: int


@dataclass(frozen=True, slots=True)
class Restored:
    """What was put back.

    Attributes:
        entries: how many there are now, as for `BackedUp`.
        aside: where the file is that was there before; None if there was none.
    """

    entries: int
    aside: Path | None


class _GivenUpError(Exception):
    """Nobody waits for the copy any more."""


async def backup(storage: StorageBackend, to: str | Path, *, progress: PageProgress | None = None) -> BackedUp:
    """Save all of a SQLite store into one file, while anybody writes to it.

    Every write that was acknowledged before is in it. The file is looked through (`PRAGMA integrity_check`), is on
    the disk, has mode 0600, and takes the place of one of that name as a whole or not at all. Who is cancelled
    finds what was there before, unless the new file was about to take its place.

    Args:
        storage: a connected `SQLiteBackend` on a file.
        to: the file.
        progress: see `PageProgress`.

    Raises:
        UnsupportedError: it is another store; docs/backup.md says what to use.
        StoreUnavailableError: the file cannot be written, or the store is damaged.
    """
    if not isinstance(storage, SQLiteBackend) or storage.path == MEMORY:
        raise UnsupportedError(
            f"{storage!r} is no SQLite file. The page `Backup` says what to use: pg_dump or pg_basebackup for "
            "PostgreSQL, persistence and replicas for Redis; export makes a file of any store, or of one namespace."
        )
    path = Path(to)
    with storage._guarded(await storage._here(), "save", "the store"):
        return await _aside(lambda told: _saved(storage, path, told), progress)


def _saved(storage: SQLiteBackend, path: Path, told: PageProgress) -> BackedUp:
    database = storage._shared.current
    assert database is not None, "connected"  # noqa: S101
    if _is_same(path, Path(storage.path)):
        raise InvalidArgumentError(f"The backup would take the place of the store itself, {storage.path!r}")
    with whole_path(path) as part:
        try:
            database.save(part, told)
            saved = BackedUp(sqlite.checked(part, told, Path(storage.path)), part.stat().st_size)
            told(1, 1)  # whoever gave up until here finds nothing
            return saved
        finally:
            sqlite.drop_beside(part)


async def restore(storage: StorageBackend, source: str | Path, *, progress: PageProgress | None = None) -> Restored:
    """Put a backup in the place of a SQLite store that nobody uses; the file that was there is kept aside.

    The backup is copied and looked through first. It stays as it is.

    Args:
        storage: a `SQLiteBackend` on a file, not connected.
        source: what `backup` has written, or another SQLite file with the table of an agent.
        progress: see `PageProgress`.

    Raises:
        UnsupportedError: it is another store.
        StoreUnavailableError: the backup is damaged, or the store is in use; nothing was changed.
    """
    if not isinstance(storage, SQLiteBackend) or storage.path == MEMORY:
        raise UnsupportedError(f"{storage!r} is no SQLite file; the page `Backup` says how others are restored")
    if storage._sessions.is_connected:
        raise InvalidArgumentError(f"{storage!r} is connected; disconnect it first")
    path, copy = Path(storage.path), Path(source)
    return await _aside(lambda told: _restored(path, copy, told), progress)


def _restored(path: Path, source: Path, told: PageProgress) -> Restored:
    if _is_same(path, source):
        raise InvalidArgumentError(f"The backup is the store itself, {str(path)!r}")
    path = path.resolve()
    aside: Path | None = None
    try:
        with whole_path(path) as part:
            try:
                entries = sqlite.copy_of(source, part, told)
            finally:
                sqlite.drop_beside(part)
            if path.exists():
                aside = _free_name(path)
                sqlite.put_aside(path, aside)
    except BaseException:
        if aside is not None and _is_same(path, aside):
            aside.unlink()  # a second name of what is still in its place
        raise
    return Restored(entries, aside)


def _is_same(one: Path, other: Path) -> bool:
    return one.exists() and other.exists() and one.samefile(other)


def _free_name(path: Path) -> Path:
    """Return a name for what was there before, with the time, that nothing has yet."""
    name = f"{path}.{time.strftime('%Y%m%d-%H%M%S')}"
    names = [Path(name), *(Path(f"{name}-{number}") for number in range(2, 100))]
    found = next((one for one in names if not os.path.lexists(one)), None)
    if found is None:
        raise StoreUnavailableError(f"There is no free name such as {name!r} for what is to be kept")
    return found


async def _aside(work: Callable[[PageProgress], T], progress: PageProgress | None) -> T:
    """Do blocking work in a thread; if the caller is cancelled, it is given up at its next step."""
    given_up = threading.Event()

    def told(done: int, total: int) -> None:
        if given_up.is_set():
            raise _GivenUpError
        if progress is not None:
            progress(done, total)

    job = asyncio.ensure_future(in_thread(partial(work, told)))
    try:
        return await asyncio.shield(job)
    except asyncio.CancelledError:
        given_up.set()
        await run_to_end(_ended(job))
        raise


async def _ended(job: asyncio.Future[T]) -> None:
    await asyncio.wait([job])
    job.exception()  # looked at, so that asyncio does not report it as lost
