"""Files that are there as a whole or not at all."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO

from ..errors import StoreUnavailableError


@contextmanager
def whole_file(path: Path) -> Iterator[BinaryIO]:
    """Yield a new file beside ``path``, which takes its place once all of it is on the disk; for its owner's eyes.

    Raises:
        StoreUnavailableError: it cannot be written; what was there before is there.
    """
    name = ""
    try:
        descriptor, name = tempfile.mkstemp(prefix=f".{path.name}.", suffix=".part", dir=path.parent)  # 0600
        with os.fdopen(descriptor, "wb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        os.replace(name, path)  # noqa: PTH105 - `name` is a str
        name = ""
        sync_folder(path.parent)
    except OSError as error:
        raise unwritable(path, error) from error
    finally:
        if name:
            with suppress(OSError):
                os.unlink(name)  # noqa: PTH108


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
    return StoreUnavailableError(
        f"Cannot write {str(path)!r}: {error.strerror or error}. Nothing of it was left there; check the folder, "
        "its permissions and the free space."
    )
