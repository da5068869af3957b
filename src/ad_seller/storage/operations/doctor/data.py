"""A walk over all entries, page by page: what cannot be read, leads nowhere, never expires or only grows."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Iterable, Iterator
from typing import Any, Final, NamedTuple

from ...base import StorageBackend
from ...errors import CorruptValueError
from ...records.codec import decode
from ...seller.kinds import PREFIXES
from ..repair import DAMAGED_PREFIX
from ..walking import pages_of
from .findings import Finding, Tally
from .references import EXPIRING, REFERENCES, Reference

_PAGE: Final = 1000  #: entries that are held at once
_LONG: Final = 1000  #: elements of a list that is written whole at each change

_KINDS: Final = tuple(PREFIXES.values())
_BY_KIND: Final[dict[str, list[Reference]]] = {}  #: by what stands before the first colon of their keys
for _one in REFERENCES:
    _BY_KIND.setdefault(_one.prefix.partition(":")[0], []).append(_one)

_SAYS: Final = {
    "value-unreadable": "Values under {subject} that cannot be read: {count:,}",
    "index-dangling": "Entries of {subject} that name records which are gone: {count:,}",
    "reference-dangling": "References {subject} that lead to nothing: {count:,}",
    "reference-expired": "References {subject} to what is not there, expired or never stored: {count:,}",
    "no-expiry": "Entries under {subject} that never expire: {count:,}",
    "list-grows": "Entries under {subject} with lists of " + f"{_LONG:,} elements or more: " + "{count:,}",
    "set-aside": "Entries under {subject}: {count:,}",
    "odd-record": "Entries under {subject} that are no records: {count:,}",
}
_FIXABLE: Final = ("value-unreadable", "index-dangling")


async def examine_data(
    store: StorageBackend, progress: Callable[[int], None] | None = None, tally: Tally | None = None
) -> Tally:
    """Look at every entry once, and return what was found; memory stays that of a page, however many there are.

    Args:
        store: connected; it may be in use.
        progress: called with the number of entries so far.
        tally: takes what is found, up to an error, too.

    Raises:
        StorageError: the store cannot be read.
    """
    tally, seen = Tally() if tally is None else tally, 0
    async for page in _pages(store):
        readable = [entry for entry in page if not isinstance(entry.value, CorruptValueError)]
        for key, _, _ in (entry for entry in page if isinstance(entry.value, CorruptValueError)):
            tally.add("value-unreadable", kind_of(key), key)
        for key, value, lasts in readable:
            _look(key, value, tally)
            if lasts and key.startswith(EXPIRING):
                tally.add("no-expiry", kind_of(key), key)
        tally.kinds.update(key.partition(":")[0] for key, _, _ in page)
        await _look_at_references(store, readable, tally)
        seen += len(page)
        if progress is not None:
            progress(seen)
    return tally


class _Entry(NamedTuple):
    """A live entry; its value, or why that cannot be read; whether it lasts for ever, as far as is known."""

    key: str
    value: Any
    lasts: bool


async def _pages(store: StorageBackend) -> AsyncIterator[list[_Entry]]:
    """Yield all entries; where the backend shows texts and deadlines, at one read for each page."""
    if store.capabilities.atomic == "store":
        async for page in pages_of(store, ""):
            yield [_Entry(key, _decoded(key, text), deadline is None) for key, text, deadline in page]
        return
    cursor: str | None = None
    while True:
        errors: list[CorruptValueError] = []
        read = await store.scan(limit=_PAGE, cursor=cursor, on_corrupt=errors.append)
        expiring = [key for key, _ in read.items if key.startswith(EXPIRING)]
        left = await asyncio.gather(*map(store.ttl, expiring), return_exceptions=True)
        lasting = {key for key, seconds in zip(expiring, left, strict=True) if seconds is None}
        yield [
            *(_Entry(error.key or "", error, False) for error in errors),
            *(_Entry(key, value, key in lasting) for key, value in read.items),
        ]
        cursor = read.cursor
        if cursor is None:
            return


def _decoded(key: str, text: bytes) -> Any:
    try:
        return decode(text, key=key)
    except CorruptValueError as error:
        return error


def kind_of(key: str) -> str:
    """Return what stands before the first colon of a key, with it; the whole key if there is none."""
    before, colon, _ = key.partition(":")
    return before + colon


def findings_of(tally: Tally) -> Iterator[Finding]:
    """Return what a walk found."""
    for (rule, subject), count in sorted(tally.counts.items()):
        what = _SAYS[rule].format(count=count, subject=subject)
        examples = tuple(tally.examples[rule, subject])
        yield Finding(rule, what, examples=examples, count=count, fixable=rule in _FIXABLE)


def _look(key: str, value: Any, tally: Tally) -> None:
    if key.startswith(DAMAGED_PREFIX):
        tally.add("set-aside", DAMAGED_PREFIX, key)
    elif key.startswith(_KINDS) and not isinstance(value, dict):
        tally.add("odd-record", kind_of(key), key)
    for part in value.values() if isinstance(value, dict) else (value,):
        if isinstance(part, list) and len(part) >= _LONG:
            tally.add("list-grows", kind_of(key), f"{key} ({len(part):,})")
            return


async def _look_at_references(store: StorageBackend, entries: Iterable[_Entry], tally: Tally) -> None:
    wanted = [
        (key, reference, target)
        for key, value, _ in entries
        for reference in references_of(key)
        for target in reference.targets(value)
    ]
    gone = await missing(store, [target for _, _, target in wanted])
    for key, reference, target in wanted:
        if target in gone:
            rule = "index-dangling" if reference.is_index else "reference-dangling"
            if not reference.lasts:
                rule = "reference-expired"
            subject = reference.prefix if reference.is_index else f"{reference.prefix} {reference.field}"
            tally.add(rule, subject, f"{key} -> {target}")


def references_of(key: str) -> list[Reference]:
    """Return the references that an entry may have, by its key."""
    found = _BY_KIND.get(key.partition(":")[0])
    return [one for one in found if key.startswith(one.prefix)] if found else []


async def missing(store: StorageBackend, keys: list[str]) -> set[str]:
    """Return those of the keys that have no entry; one that cannot be read is one."""
    wanted, corrupt, found = list(dict.fromkeys(keys)), set[str](), set[str]()
    for start in range(0, len(wanted), _PAGE):
        found |= (
            await store.get_many(
                wanted[start : start + _PAGE], on_corrupt=lambda error: corrupt.add(error.key or "")
            )
        ).keys()
    return set(wanted) - found - corrupt
