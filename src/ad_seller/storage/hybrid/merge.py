"""Reading two sorted listings as one, page by page, with one cursor for both."""

from __future__ import annotations

import base64
import binascii
import heapq
import json
from collections.abc import AsyncIterator, Callable, Sequence
from typing import Any, Final

from ..base import StorageBackend
from ..driver.transfer import StoredEntry
from ..errors import CorruptValueError, InvalidCursorError, shown
from ..records.keys import check_key, decode_cursor
from ..records.pages import OnCorrupt, Page, report_corrupt

#: Where a side goes on: at the start (None), where its own cursor says, or nowhere because it has ended.
Start = str | bool | None
_ENDED: Final = False

#: A key with its value, or with the error in place of one that cannot be decoded. It counts, too.
Entry = tuple[str, Any]


class SideWalk:
    """The part of a scan that one side answers.

    Args:
        side: the backend.
        owns: tells whether a key belongs to this side; others are passed over.
        pattern: a glob.
        limit: so many entries are enough; None for all.
        start: where to go on.
        last: the key that was returned last; it and those before were returned already.
        reverse: whether the greatest key comes first.
    """

    def __init__(
        self,
        side: StorageBackend,
        owns: Callable[[str], bool],
        pattern: str,
        limit: int | None,
        start: Start,
        last: str | None,
        reverse: bool,
    ) -> None:
        """Nothing is read yet."""
        self._side = side
        self._owns = owns
        self._pattern = pattern
        self._limit = limit
        self._next = start
        self._last = last
        self._reverse = reverse
        self._pages: list[tuple[Start, str]] = []
        self.entries: list[Entry] = []

    @property
    def has_ended(self) -> bool:
        """Whether there is nothing beyond `entries`."""
        return self._next is _ENDED

    async def read(self) -> None:
        """Read pages until there are enough entries."""
        while not self.has_ended and (self._limit is None or len(self.entries) < self._limit):
            start = self._next
            corrupt: list[CorruptValueError] = []
            cursor = start if isinstance(start, str) else None
            page = await self._side.scan(
                self._pattern, limit=self._limit, cursor=cursor, reverse=self._reverse, on_corrupt=corrupt.append
            )
            entries = [*page.items, *((str(error.key), error) for error in corrupt)]
            entries.sort(key=_key_of, reverse=self._reverse)
            if entries:
                self._pages.append((start, entries[-1][0]))
            self.entries += [entry for entry in entries if self._is_new(entry[0])]
            self._next = _ENDED if page.cursor is None else page.cursor

    def start_after(self, key: str) -> Start:
        """Return where this side goes on after ``key``: at the page that has what follows, or at the next."""
        return next((start for start, last in self._pages if self._follows(last, key)), self._next)

    def _is_new(self, key: str) -> bool:
        return (self._last is None or self._follows(key, self._last)) and self._owns(key)

    def _follows(self, key: str, other: str) -> bool:
        return key < other if self._reverse else key > other


def merge(walks: Sequence[SideWalk], limit: int | None, on_corrupt: OnCorrupt, *, reverse: bool) -> Page:
    """Return the first ``limit`` entries of all walks; they have been read, ``reverse`` or not."""
    entries = list(heapq.merge(*(walk.entries for walk in walks), key=_key_of, reverse=reverse))
    more = any(not walk.has_ended for walk in walks) or (limit is not None and len(entries) > limit)
    entries = entries[:limit]
    items: list[tuple[str, Any]] = []
    for key, value in entries:
        if isinstance(value, CorruptValueError):
            report_corrupt(value, on_corrupt)
        else:
            items.append((key, value))
    if not more or not entries:
        return Page(items, None)
    end = entries[-1][0]
    return Page(items, _encode(end, [walk.start_after(end) for walk in walks]))


def _key_of(entry: Entry) -> str:
    return entry[0]


def _encode(last: str, starts: list[Start]) -> str:
    return base64.urlsafe_b64encode(json.dumps([last, *starts]).encode()).decode()


def decode_merged(cursor: str | None, sides: int) -> tuple[str | None, list[Start]]:
    """Return the last key that was returned, and where each side goes on.

    Raises:
        InvalidCursorError: ``cursor`` did not come from such a scan.
    """
    if cursor is None:
        return None, [None] * sides
    try:
        text = base64.b64decode(cursor, altchars=b"-_", validate=True)
        if not text.startswith(b"["):  # a key alone is a place on each side
            return decode_cursor(cursor), [cursor] * sides
        last, *starts = json.loads(text)
        if len(starts) != sides or not all(s is None or s is _ENDED or isinstance(s, str) for s in starts):
            raise ValueError("not for these sides")
        return check_key(last), starts
    except (TypeError, ValueError, binascii.Error) as error:
        raise InvalidCursorError(
            f"Not a cursor of a scan: {shown(cursor)}. Pass the `cursor` of the page before, or None to start."
        ) from error


async def merged_pages(
    sides: Sequence[tuple[AsyncIterator[list[StoredEntry]], Callable[[str], bool]]],
) -> AsyncIterator[list[StoredEntry]]:
    """Yield pages of what the sides own, in one order; ``sides`` are pages, and who tells what belongs there."""
    pages: list[list[StoredEntry] | None] = [[] for _ in sides]
    while True:
        for place, (walk, owns) in enumerate(sides):
            while pages[place] == []:
                page = await anext(walk, None)
                pages[place] = None if page is None else [entry for entry in page if owns(entry.key)]
        waiting = [page for page in pages if page]
        if not waiting:
            return
        bound = min(page[-1].key for page in waiting)
        yield list(heapq.merge(*([entry for entry in page if entry.key <= bound] for page in waiting)))
        pages = [None if page is None else [entry for entry in page if entry.key > bound] for page in pages]
