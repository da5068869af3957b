"""A walk over all entries, page by page: what cannot be read, leads nowhere, never expires or only grows."""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator
from typing import Any, Final

from ...base import StorageBackend
from ...errors import CorruptValueError, MissingKeyError, UnsupportedError
from ...seller.kinds import PREFIXES
from ..repair import DAMAGED_PREFIX
from .findings import Finding, Tally
from .references import EXPIRING, REFERENCES, Reference

_PAGE: Final = 1000  #: entries that are held at once
_LONG: Final = 1000  #: elements of a list that is written whole at each change

_KINDS: Final = tuple(PREFIXES.values())
_BY_PREFIX: Final[dict[str, list[Reference]]] = defaultdict(list)
for _one in REFERENCES:
    _BY_PREFIX[_one.prefix].append(_one)

_SAYS: Final = {
    "value-unreadable": "Values under {subject} that cannot be read: {count:,}",
    "index-dangling": "Entries of {subject} that name records which are gone: {count:,}",
    "reference-dangling": "References {subject} that lead to nothing: {count:,}",
    "reference-expired": "References {subject} that lead to what has expired: {count:,}",
    "no-expiry": "Entries under {subject} that never expire: {count:,}",
    "list-grows": "Entries under {subject} with lists of " + f"{_LONG:,} elements or more: " + "{count:,}",
    "set-aside": "Entries under {subject}: {count:,}",
    "odd-record": "Entries under {subject} that are no records: {count:,}",
}
_FIXABLE: Final = ("value-unreadable", "index-dangling")


async def examine_data(store: StorageBackend, progress: Callable[[int], None] | None = None) -> list[Finding]:
    """Look at every entry once; memory stays that of a page, however many there are.

    Args:
        store: connected; it may be in use.
        progress: called with the number of entries so far.

    Raises:
        StorageError: the store cannot be read.
    """
    tally, seen, cursor = Tally(), 0, None
    while True:
        errors: list[CorruptValueError] = []
        page = await store.scan(limit=_PAGE, cursor=cursor, on_corrupt=errors.append)
        for error in errors:
            tally.add("value-unreadable", kind_of(error.key or ""), error.key or "")
        for key, value in page.items:
            _look(key, value, tally)
        await _look_at_references(store, page.items, tally)
        await _look_at_expiry(store, [key for key, _ in page.items if key.startswith(EXPIRING)], tally)
        seen += len(page.items) + len(errors)
        if progress is not None:
            progress(seen)
        cursor = page.cursor
        if cursor is None:
            return list(_findings(tally))


def kind_of(key: str) -> str:
    """Return what stands before the first colon of a key, with it; the whole key if there is none."""
    before, colon, _ = key.partition(":")
    return before + colon


def _findings(tally: Tally) -> Iterator[Finding]:
    for (rule, subject), count in sorted(tally.counts.items()):
        what = _SAYS[rule].format(count=count, subject=subject)
        examples = tuple(tally.examples[rule, subject])
        yield Finding(rule, what, examples=examples, count=count, fixable=rule in _FIXABLE)


def _look(key: str, value: Any, tally: Tally) -> None:
    if key.startswith(DAMAGED_PREFIX):
        tally.add("set-aside", DAMAGED_PREFIX, key)
    elif key.startswith(_KINDS) and not isinstance(value, dict):
        tally.add("odd-record", kind_of(key), key)
    parts = value.values() if isinstance(value, dict) else (value,)
    longest = max((len(part) for part in parts if isinstance(part, list)), default=0)
    if longest >= _LONG:
        tally.add("list-grows", kind_of(key), f"{key} ({longest:,})")


async def _look_at_references(store: StorageBackend, items: Iterable[tuple[str, Any]], tally: Tally) -> None:
    wanted = [
        (key, reference, target)
        for key, value in items
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
    return next((found for prefix, found in _BY_PREFIX.items() if key.startswith(prefix)), [])


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


async def _look_at_expiry(store: StorageBackend, keys: list[str], tally: Tally) -> None:
    answers = await asyncio.gather(*map(store.ttl, keys), return_exceptions=True)
    for key, left in zip(keys, answers, strict=True):
        if left is None:
            tally.add("no-expiry", kind_of(key), key)
        elif isinstance(left, BaseException) and not isinstance(left, MissingKeyError | UnsupportedError):
            raise left
