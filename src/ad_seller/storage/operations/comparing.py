"""Two stores side by side: both are sorted by key, so one pass over each tells what differs."""

from __future__ import annotations

import asyncio
import time
from bisect import bisect_right
from collections.abc import AsyncGenerator, AsyncIterator, Sequence
from contextlib import aclosing
from functools import partial
from itertools import repeat
from operator import attrgetter
from typing import Final, Literal, NamedTuple

from ..base import StorageBackend
from ..concurrency.tasks import all_of
from ..driver.transfer import StoredEntry
from ..errors import CorruptValueError, InvalidValueError
from ..records.codec import canonical, decode
from .walking import OWN_KEYS, pages_of, patiently

#: Milliseconds before its deadline from which an entry may be missing on one side: one is read after the other.
_GRACE: Final = 2_000

#: How the target differs: an entry is missing there, there is one more, or its value or its expiry is another.
Kind = Literal["missing", "more", "value", "expiry"]


class Difference(NamedTuple):
    """One entry that differs.

    Attributes:
        key: its key.
        kind: how the target differs.
        source: the entry in the source, None where there is none.
        target: the entry in the target, likewise.
    """

    key: str
    kind: Kind
    source: StoredEntry | None
    target: StoredEntry | None


class Part(NamedTuple):
    """What was found in a range of keys.

    Attributes:
        differences: sorted by key.
        seen: entries of the source.
        last: the end of the range.
    """

    differences: list[Difference]
    seen: int
    last: str


async def compare(
    source: StorageBackend, target: StorageBackend, prefix: str, after: str | None = None
) -> AsyncGenerator[Part]:
    """Yield range by range how ``target`` differs from ``source``.

    Args:
        source: a connected backend.
        target: another one.
        prefix: only keys that begin with it.
        after: only keys that come after it.
    """
    slack = _slack(source, target)
    async with (
        aclosing(_ahead(_foreign(pages_of(source, prefix, after)))) as ours,
        aclosing(_ahead(_foreign(pages_of(target, prefix, after)))) as theirs,
    ):
        here, there = await _next(ours, []), await _next(theirs, [])
        while here or there:
            last = min(page[-1].key for page in (here, there) if page)
            mine, here = _split(here, last)
            other, there = _split(there, last)
            yield Part(_differences(mine, other, slack), len(mine), last)
            here, there = await _next(ours, here), await _next(theirs, there)


async def compare_at(source: StorageBackend, target: StorageBackend, keys: Sequence[str]) -> list[Difference]:
    """Return how ``target`` differs from ``source`` under some keys: about so many as a page has.

    Args:
        source: a connected backend.
        target: another one.
        keys: sorted.
    """
    mine, other = await all_of(patiently(partial(each._entries_at, keys)) for each in (source, target))
    return _differences(mine, other, _slack(source, target))


def _slack(source: StorageBackend, target: StorageBackend) -> int:
    return max(source._deadline_slack, target._deadline_slack)


async def _foreign(pages: AsyncIterator[list[StoredEntry]]) -> AsyncIterator[list[StoredEntry]]:
    """Yield the pages without what copies keep in a store for themselves: it is no entry of anybody's."""
    async for page in pages:
        if left := [entry for entry in page if entry.key not in OWN_KEYS]:
            yield left


async def _ahead(pages: AsyncIterator[list[StoredEntry]]) -> AsyncGenerator[list[StoredEntry]]:
    """Yield the pages, and read the next one meanwhile."""

    async def read() -> list[StoredEntry] | None:
        return await anext(pages, None)

    coming = asyncio.ensure_future(read())
    try:
        while (page := await coming) is not None:
            coming = asyncio.ensure_future(read())
            yield page
    finally:
        coming.cancel()
        await asyncio.wait([coming])


async def _next(pages: AsyncGenerator[list[StoredEntry]], left: list[StoredEntry]) -> list[StoredEntry]:
    """Return what is left of a page, or the next page; an empty one at the end."""
    return left or await anext(pages, [])


def _split(page: list[StoredEntry], last: str) -> tuple[list[StoredEntry], list[StoredEntry]]:
    if not page or page[-1].key <= last:
        return page, []
    place = bisect_right(page, last, key=attrgetter("key"))
    return page[:place], page[place:]


def _differences(mine: list[StoredEntry], other: list[StoredEntry], slack: int) -> list[Difference]:
    if mine == other:
        return []
    over = time.time() * 1000 + _GRACE
    if not other:  # as where most copies begin
        alone = [entry for entry in mine if _counts(entry, over)]
        rows = zip(map(attrgetter("key"), alone), repeat("missing"), alone, repeat(None), strict=False)
        return list(map(tuple.__new__, repeat(Difference), rows))
    there = {entry.key: entry for entry in other}
    found: list[Difference] = []
    for entry in mine:
        twin = there.pop(entry.key, None)
        if twin is None:
            if _counts(entry, over):
                found.append(Difference(entry.key, "missing", entry, None))
        elif twin == entry:  # mostly
            continue
        elif twin.text != entry.text and not _same_value(entry.text, twin.text):
            found.append(Difference(entry.key, "value", entry, twin))
        elif twin.deadline != entry.deadline and not _same_deadline(entry.deadline, twin.deadline, slack):
            found.append(Difference(entry.key, "expiry", entry, twin))
    if more := [Difference(key, "more", None, twin) for key, twin in there.items() if _counts(twin, over)]:
        found = sorted(found + more, key=attrgetter("key"))
    return found


def _counts(entry: StoredEntry, over: float) -> bool:
    """Tell whether it matters that an entry is on one side only: not if it is about to expire."""
    return entry.deadline is None or entry.deadline > over


def _same_deadline(one: int | None, other: int | None, slack: int) -> bool:
    return one is not None and other is not None and abs(one - other) <= slack


def _same_value(one: bytes, other: bytes) -> bool:
    """Tell whether two texts are of the same value: writers put blanks where they like."""
    try:
        return canonical(decode(one)) == canonical(decode(other))
    except (CorruptValueError, InvalidValueError):
        return False
