"""From a store to a file that any program can read, and that says when a part of it is missing."""

from __future__ import annotations

import gzip
import hashlib
import time
from collections.abc import Awaitable, Callable
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, Final, cast

from ..base import StorageBackend
from ..concurrency.tasks import run_to_end
from ..concurrency.threads import in_thread
from ..driver.transfer import StoredEntry
from ..errors import CorruptValueError
from ..records.pages import OnCorrupt, report_corrupt
from .exports import entry_line, footer_line, header_line
from .files import unwritable, whole_file
from .walking import check_prefix, pages_of

_COMPRESSION: Final = 4  #: of gzip: half the time of 9, and hardly larger

#: Called with the number of entries that are done.
Progress = Callable[[int], object]


@dataclass(frozen=True, slots=True)
class Exported:
    """What was written.

    Attributes:
        count: entries.
        digest: the SHA-256 of all lines before the last one, in hexadecimal digits.
        left_out: entries that could not be read.
    """

    count: int
    digest: str
    left_out: int


async def export_entries(
    storage: StorageBackend,
    to: str | Path | BinaryIO,
    *,
    prefix: str = "",
    on_corrupt: OnCorrupt = None,
    progress: Progress | None = None,
) -> Exported:
    """Write the live entries as JSON lines, sorted by key, page by page.

    Args:
        storage: a connected backend. While others write, each entry is as of some moment of the export.
        to: a file, compressed if its name ends in ".gz", which is there as a whole or not at all (mode 0600); or
            a binary stream.
        prefix: only keys that begin with it.
        on_corrupt: called with the error of each entry that cannot be read, which is then left out.
        progress: called with the number of entries so far.

    Raises:
        InvalidKeyError: no key begins with ``prefix``.
        CorruptValueError: a value is no JSON, and ``on_corrupt`` is None. `repair` mends that.
        StoreUnavailableError: the file cannot be written.
    """
    check_prefix(prefix)
    if not isinstance(to, str | Path):
        return await _written(storage, to, in_thread, prefix, on_corrupt, progress)
    path = Path(to)
    with ExitStack() as stack:
        file = stack.enter_context(whole_file(path))
        try:
            if path.suffix == ".gz":
                packed = gzip.GzipFile("", "wb", _COMPRESSION, file, mtime=0)
                file = cast("BinaryIO", stack.enter_context(packed))
            # Whatever happens, no thread writes any more when the file is closed.
            return await _written(
                storage, file, lambda work: run_to_end(in_thread(work)), prefix, on_corrupt, progress
            )
        except OSError as error:
            raise unwritable(path, error) from error


async def _written(
    storage: StorageBackend,
    file: BinaryIO,
    aside: Callable[[Callable[[], bytes]], Awaitable[bytes]],
    prefix: str,
    on_corrupt: OnCorrupt,
    progress: Progress | None,
) -> Exported:
    digest, count, corrupt = hashlib.sha256(), 0, []

    def write(text: bytes) -> bytes:
        file.write(text)
        digest.update(text)
        return text

    def write_page(page: list[StoredEntry]) -> bytes:
        lines = []
        for entry in page:
            try:
                lines.append(entry_line(entry))
            except CorruptValueError as error:
                corrupt.append(error)
                if on_corrupt is None:
                    break
        return write(b"".join(lines))

    header = header_line(repr(storage), prefix, time.time())
    await aside(lambda: write(header))
    left_out = 0
    async for page in pages_of(storage, prefix):
        await aside(lambda page=page: write_page(page))  # type: ignore[misc]
        for error in corrupt:
            report_corrupt(error, on_corrupt)
        count += len(page) - len(corrupt)
        left_out += len(corrupt)
        corrupt.clear()
        if progress is not None:
            progress(count + left_out)
    footer = footer_line(count, digest.hexdigest())

    def end() -> bytes:
        file.write(footer)
        file.flush()
        return footer

    await aside(end)
    return Exported(count, digest.hexdigest(), left_out)
