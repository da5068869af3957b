"""Files that are there as a whole or not at all."""

from __future__ import annotations

import fcntl
import glob
import logging
import os
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO

from ..errors import StorageError, StoreUnavailableError

log = logging.getLogger("ad_seller.storage")

_PART = ".part"  #: how the names of files end that are not whole yet
_RANDOM = "?" * 8  #: what `tempfile.mkstemp` puts before that; other names are not ours
_NEW = 5.0  #: seconds within which whoever has made one may not have locked it yet


@contextmanager
def whole_file(path: Path) -> Iterator[BinaryIO]:
    """Yield a new file that takes the place of ``path`` at the end; see `whole_path`."""
    with whole_path(path) as part, part.open("wb") as file:
        yield file


@contextmanager
def whole_path(path: Path) -> Iterator[Path]:
    """Yield the name of an empty file beside ``path``, which takes its place at the end; for its owner's eyes.

    It does so once all of it is on the disk, unless the block raises. Of a link, its target is written. What a
    killed process has left of an earlier one is removed first.

    Raises:
        StoreUnavailableError: it cannot be written; what was there before is there.
    """
    part: Path | None = None
    lock = -1
    try:
        if path.exists() and not path.is_file():  # a folder; or a device, of which root would make a file
            raise OSError("it is there, and no file")
        path = path.resolve()
        _remove_left(path)
        lock, name = tempfile.mkstemp(prefix=f".{path.name}.", suffix=_PART, dir=path.parent)  # 0600
        part = Path(name)
        _is_locked(lock)
        yield part
        _sync(part)
        part.replace(path)
        part = None
        sync_folder(path.parent)
    except OSError as error:
        if isinstance(error, StorageError):
            raise
        raise unwritable(path, error) from error
    finally:
        if part is not None:
            part.unlink(missing_ok=True)
        if lock >= 0:
            os.close(lock)


def _remove_left(path: Path) -> None:
    """Remove the parts of ``path`` that no process has locked: whoever wrote them was killed."""
    for left in list(path.parent.glob(f".{glob.escape(path.name)}.{_RANDOM}{_PART}")):
        with suppress(OSError), left.open("rb") as file:
            if time.time() - left.stat().st_mtime > _NEW and _is_locked(file.fileno()):
                for each in list(path.parent.glob(f"{glob.escape(left.name)}*")):  # and what SQLite has left beside
                    each.unlink(missing_ok=True)
                log.warning("Removed %s: a process was killed while it wrote it", left)


def _is_locked(descriptor: int) -> bool:
    """Lock a file as long as the descriptor is open, and tell whether that was possible."""
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return False
    return True


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def sync_folder(folder: Path) -> None:
    """Have the names in a folder on the disk, where the system can do that."""
    with suppress(OSError):
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


def unwritable(path: Path, error: OSError) -> StoreUnavailableError:
    """Return the error for a file that cannot be written."""
    left = "What was there before is as it was" if path.is_file() else "Nothing of it was left there"
    return StoreUnavailableError(
        f"Cannot write {str(path)!r}: {error.strerror or error}. {left}; check the folder, its permissions and the "
        "free space."
    )
