"""Searches that concern both sides, as one."""

from __future__ import annotations

import heapq
from collections.abc import Callable, Sequence
from typing import Any

from ..base import StorageBackend
from ..driver.query import KeyQuery
from ..errors import CorruptValueError
from ..records.pages import OnCorrupt, report_corrupt

#: A key with its value, or with the error in place of one that cannot be decoded. It counts, too.
Entry = tuple[str, Any]

#: What a side has, and whether it has more.
Found = tuple[list[Entry], bool]


async def owned(side: StorageBackend, owns: Callable[[str], bool], query: KeyQuery) -> Found:
    """Return what a side finds among the keys that belong to it, in order; enough of them, if it has more."""
    entries: list[Entry] = []
    while True:
        corrupt: list[CorruptValueError] = []
        items, last = await side._entry_search(query, corrupt.append)
        found = [*items, *((str(error.key), error) for error in corrupt)]
        entries += sorted((entry for entry in found if owns(entry[0])), key=_key_of, reverse=query.reverse)
        if last is None or (query.limit is not None and len(entries) >= query.limit):
            return entries, last is not None
        query = query.beyond(last)


def merged(
    sides: Sequence[Found], query: KeyQuery, on_corrupt: OnCorrupt
) -> tuple[list[tuple[str, Any]], str | None]:
    """Return what both sides found as `StorageBackend` does."""
    entries = list(heapq.merge(*(found for found, _ in sides), key=_key_of, reverse=query.reverse))
    more = query.limit is not None and (len(entries) > query.limit or any(has_more for _, has_more in sides))
    entries = entries[: query.limit]
    items: list[tuple[str, Any]] = []
    for key, value in entries:
        if isinstance(value, CorruptValueError):
            report_corrupt(value, on_corrupt)
        else:
            items.append((key, value))
    return items, entries[-1][0] if more else None


def _key_of(entry: Entry) -> str:
    return entry[0]
