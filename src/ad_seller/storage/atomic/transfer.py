"""Whole stores, read and written in bulk: what copies, exports and comparisons stand on.

The defaults work on any backend, entry by entry and with one look at all names. Ours answer page by page.
"""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Sequence
from typing import TYPE_CHECKING, Final, Self, cast

from ..driver.commit import Commit, Expect, Put, Refused
from ..driver.transfer import PAGE_BYTES, StoredEntry, deadline_of
from ..errors import CorruptValueError, InvalidArgumentError, MissingKeyError, StorageError, UnsupportedError
from ..records.expiry import MAX_TTL_MS

if TYPE_CHECKING:
    from .committer import Committer

_PAGE: Final = 200  #: entries that are read at once, one by one


class BulkTransfer:
    """Entries as texts with absolute deadlines; mixed into every backend."""

    #: Milliseconds by which a deadline may come back differently from how it was stored.
    _deadline_slack: int = 1_000

    def _as_found(self) -> Self:
        """Return a backend with these settings whose `connect` makes no store where there is none."""
        return self

    async def _entry_pages(self, prefix: str, after: str | None = None) -> AsyncIterator[list[StoredEntry]]:
        """Yield pages of live entries whose keys begin with ``prefix`` and come after ``after``, sorted.

        Entries that are there all the time come exactly once. Nothing is held between two pages.

        Raises:
            CorruptValueError: a value cannot be read, on a backend that shows no texts.
        """
        backend = cast("Committer", self)
        keys = sorted(key for key in await backend.keys("*") if key.startswith(prefix))
        page: list[StoredEntry] = []
        for key in keys:
            if after is not None and key <= after:
                continue
            if (entry := await _entry(backend, key)) is not None:
                page.append(entry)
            if len(page) == _PAGE or sum(len(one.text) for one in page[-1:]) > PAGE_BYTES:
                yield page
                page = []
        if page:
            yield page

    async def _entries_at(self, keys: Sequence[str]) -> list[StoredEntry]:
        """Return the live entries under different keys, in their order, as `_entry_pages` does.

        Raises:
            CorruptValueError: a value cannot be read, on a backend that shows no texts.
        """
        found = [await _entry(cast("Committer", self), key) for key in keys]
        return [entry for entry in found if entry is not None]

    async def _entry_estimate(self, prefix: str) -> int | None:
        """Return about how many live keys begin with ``prefix``; None if that cannot be told at little cost."""
        return None

    async def _store_entries(
        self, entries: Sequence[StoredEntry], expected: Sequence[bytes | None] | None = None
    ) -> Sequence[bool | StorageError]:
        """Store entries of different keys with their deadlines; tell of each whether it was, or why it cannot be.

        It does no harm to store them again. Where it raises, some may have been stored.

        Args:
            entries: what is stored.
            expected: None: each takes the place of what is there. Otherwise each is stored if there is no live
                entry under its key, or if that holds exactly this text.
        """
        backend = cast("Committer", self)
        return [
            await _store(backend, entry, None if expected is None else (expected[place],))
            for place, entry in enumerate(entries)
        ]


async def _entry(backend: Committer, key: str) -> StoredEntry | None:
    [text] = await backend._atomic_snapshot([key])
    if text is None:
        return None
    try:
        left = await backend.ttl(key)
    except MissingKeyError:
        return None
    return StoredEntry(key, text, None if left is None else deadline_of(time.time() + left))


async def _store(
    backend: Committer, entry: StoredEntry, expected: tuple[bytes | None] | None
) -> bool | StorageError:
    try:
        return await _stored(backend, entry, expected)
    except (InvalidArgumentError, CorruptValueError, UnsupportedError) as error:  # what is the fault of this entry
        return error


async def _stored(backend: Committer, entry: StoredEntry, expected: tuple[bytes | None] | None) -> bool:
    [there] = await backend._atomic_snapshot([entry.key])
    if expected is not None and there is not None and there != expected[0]:
        return False
    ttl_ms = None if entry.deadline is None else entry.deadline - int(time.time() * 1000)
    if ttl_ms is not None and ttl_ms <= 0:
        return True
    ttl_ms = None if ttl_ms is None else min(ttl_ms, MAX_TTL_MS)
    commit = Commit((Expect(entry.key, there),), (Put(entry.key, entry.text, ttl_ms),))
    return not isinstance(await backend._atomic_commit(commit), Refused)
