"""From an export into a store."""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, Literal

from ..base import StorageBackend
from ..concurrency.threads import in_thread
from ..driver.transfer import StoredEntry
from ..errors import (
    InvalidArgumentError,
    StorageError,
    StoreUnavailableError,
    shown,
)
from .exporting import Progress
from .older import refuse_unless_older_is_empty
from .reading import BadLine, ExportReader, Lines, damaged
from .walking import check_prefix, refuse_unless_empty, store_page

#: What wins where there is another entry: the one that is there, or the one that comes.
Existing = Literal["keep", "replace"]


#: Called with each bad line, which is then left out. What is wrong with the whole comes with the last.
OnBadLine = Callable[[BadLine], object] | None


@dataclass(slots=True)
class Imported:
    """What became of the entries of an export.

    Attributes:
        stored: how many were stored.
        kept: how many were not, because there was another entry.
        expired: how many were not, because their time was over.
        bad: lines that could not be used, or that the store did not take.
    """

    stored: int = 0
    kept: int = 0
    expired: int = 0
    bad: int = 0


async def import_entries(
    storage: StorageBackend,
    source: str | Path | BinaryIO,
    *,
    prefix: str = "",
    existing: Existing | None = None,
    on_bad_line: OnBadLine = None,
    progress: Progress | None = None,
    connect: bool = False,
) -> Imported:
    """Store what an export holds, with the deadlines that it names.

    A file is read twice: nothing is stored before all of it was found whole. Of a stream, what came before a fault
    is stored by then. Whatever ended an import, it can be run again with ``existing``.

    Args:
        storage: a connected backend, or with ``connect`` one that is not.
        source: a file, or a binary stream; compressed by gzip or not, whatever its name.
        prefix: only keys that begin with it.
        existing: "keep" or "replace" what is there; None: there must be nothing under ``prefix``.
        on_bad_line: None: a bad line ends the import. Otherwise it is called with each, and the rest is imported.
        progress: called with the number of lines so far.
        connect: connect the backend for this import, once the export was looked at: none is made for a damaged one.

    Raises:
        DamagedExportError: it is cut off, was changed, or is no export that this package knows.
        NotEmptyError: there are entries, and ``existing`` is None.
        StoreUnavailableError: the file cannot be read.
    """
    if existing not in (None, "keep", "replace"):
        raise InvalidArgumentError(f"existing is 'keep', 'replace' or None, not {shown(existing)}")
    check_prefix(prefix)
    job = _Import(storage, prefix, existing, on_bad_line, progress)
    if not isinstance(source, str | Path):
        return await job.run(source, connect=connect)
    path = Path(source)
    try:
        with path.open("rb") as file:  # noqa: ASYNC230 - no longer than any file system takes
            if file.seekable():
                await _look_through(file, on_bad_line)
                file.seek(0)
            return await job.run(file, connect=connect)
    except OSError as error:
        if isinstance(error, StorageError):
            raise
        raise StoreUnavailableError(f"Cannot read {str(path)!r}: {error.strerror or error}") from error


async def _look_through(file: BinaryIO, on_bad_line: OnBadLine) -> None:
    """Read all of it, unless bad lines are to be left out anyway; the header is looked at in any case."""
    reader = ExportReader(file)
    await in_thread(reader.open)
    if on_bad_line is None:
        while (page := await in_thread(reader.page)) is not None:
            for line in page.bad:
                raise damaged(line)


class _Import:
    """One import, and what became of its lines so far."""

    def __init__(
        self,
        storage: StorageBackend,
        prefix: str,
        existing: Existing | None,
        on_bad_line: OnBadLine,
        progress: Progress | None,
    ) -> None:
        self._storage = storage
        self._prefix = prefix
        self._existing = existing
        self._on_bad_line = on_bad_line
        self._progress = progress
        self._done = Imported()

    async def run(self, source: BinaryIO, *, connect: bool) -> Imported:
        reader = ExportReader(source)
        await in_thread(reader.open)
        if connect and self._existing is None:
            await refuse_unless_older_is_empty(self._storage, self._prefix)
        async with self._storage if connect else nullcontext():
            if self._existing is None:
                await refuse_unless_empty(self._storage, self._prefix)
            return await self._store_all_of(reader)

    async def _store_all_of(self, reader: ExportReader) -> Imported:
        while (page := await in_thread(reader.page)) is not None:
            await self._store(page.before_bad() if self._on_bad_line is None else page)
            for line in page.bad:
                self._report(line)
            if self._progress is not None:
                self._progress(reader.number)
        return self._done

    async def _store(self, page: Lines) -> None:
        now = time.time() * 1000
        entries: dict[str, StoredEntry] = {}
        for entry in page.entries:
            if not entry.key.startswith(self._prefix):
                continue
            if entry.deadline is not None and entry.deadline <= now:
                self._done.expired += 1
            elif entry.key in entries:  # the same key again: they take effect one after the other
                await self._store_all(list(entries.values()), page)
                entries = {entry.key: entry}
            else:
                entries[entry.key] = entry
        await self._store_all(list(entries.values()), page)

    async def _store_all(self, entries: list[StoredEntry], page: Lines) -> None:
        if not entries:
            return
        refused: list[BadLine] = []

        def refuse(entry: StoredEntry, error: StorageError) -> None:
            refused.append(BadLine(page.numbers[page.entries.index(entry)], str(error)))

        expected: list[bytes | None] | None = None if self._existing == "replace" else [None] * len(entries)
        stored = await store_page(self._storage, entries, expected, refuse)
        self._done.stored += stored
        self._done.kept += len(entries) - stored - len(refused)
        for line in refused:
            self._report(line)

    def _report(self, line: BadLine) -> None:
        self._done.bad += 1
        if self._on_bad_line is None:
            raise damaged(line, self._done.stored)
        self._on_bad_line(line)
