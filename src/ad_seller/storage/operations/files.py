"""Files that are there as a whole or not at all."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO

from ..errors import StorageError, StoreUnavailableError


@contextmanager
def whole_file(path: Path) -> Iterator[BinaryIO]:
    """Yield a new file that takes the place of ``path`` at the end; see `whole_path`."""
    with whole_path(path) as part, part.open("wb") as file:
        yield file


@contextmanager
def whole_path(path: Path) -> Iterator[Path]:
    """Yield the name of an empty file beside ``path``, which takes its place at the end; for its owner's eyes.

    It does so once all of it is on the disk, unless the block raises. Of a link, its target is written.

    Raises:
        StoreUnavailableError: it cannot be written; what was there before is there.
    """
    part: Path | None = None
    try:
        if path.exists() and not path.is_file():  # a folder; or a device, of which root would make a file
            raise OSError("it is there, and no file")
        path = path.resolve()
        descriptor, name = tempfile.mkstemp(prefix=f".{path.name}.", suffix=".part", dir=path.parent)  # 0600
        os.close(descriptor)
        part = Path(name)
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
