"""Pages of a store, read again where a server was away for a moment."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Final, TypeVar

from ..base import StorageBackend
from ..driver.transfer import StoredEntry
from ..errors import (
    CorruptValueError,
    InvalidArgumentError,
    StorageConnectionError,
    StorageError,
    StorageTimeoutError,
    UnknownOutcomeError,
    UnsupportedError,
)

T = TypeVar("T")

#: What may be over in a moment; to read again, and to store the same again, does no harm.
TRANSIENT: Final = (StorageConnectionError, StorageTimeoutError, UnknownOutcomeError)

#: What is the fault of an entry; all else is the store's.
ENTRY_ALONE: Final = (InvalidArgumentError, CorruptValueError, UnsupportedError)

_PATIENCE: Final = 15.0  #: seconds in which a call is tried again
_PAUSE: Final = 0.2  #: seconds between two tries


async def pages_of(
    storage: StorageBackend, prefix: str, after: str | None = None
) -> AsyncIterator[list[StoredEntry]]:
    """Yield the pages of a store; after a failure that may be over in a moment it goes on where it was.

    Raises:
        StorageError: it is not over.
    """
    pages = storage._entry_pages(prefix, after)
    give_up = time.monotonic() + _PATIENCE
    while True:
        try:
            page = await anext(pages, None)
        except TRANSIENT:
            if time.monotonic() > give_up:
                raise
            await asyncio.sleep(_PAUSE)
            pages = storage._entry_pages(prefix, after)
            continue
        if page is None:
            return
        yield page
        after, give_up = page[-1].key, time.monotonic() + _PATIENCE


async def patiently(call: Callable[[], Awaitable[T]]) -> T:
    """Return what ``call`` returns, made again after a failure that may be over in a moment."""
    give_up = time.monotonic() + _PATIENCE
    while True:
        try:
            return await call()
        except TRANSIENT:
            if time.monotonic() > give_up:
                raise
            await asyncio.sleep(_PAUSE)


async def store_page(
    storage: StorageBackend,
    entries: list[StoredEntry],
    expected: list[bytes | None] | None,
    refused: Callable[[StoredEntry, StorageError], object],
) -> int:
    """Store entries as far as they can be, and return how many were; see `StorageBackend._store_entries`.

    Args:
        storage: a connected backend.
        entries: of different keys.
        expected: what must be there, for each.
        refused: called with an entry that the store does not take, and why.

    Raises:
        StorageError: the store cannot be reached.
    """
    try:
        return sum(await patiently(lambda: storage._store_entries(entries, expected)))
    except ENTRY_ALONE as error:
        if len(entries) == 1:
            refused(entries[0], error)
            return 0
    middle = len(entries) // 2
    stored = 0
    for part in (slice(0, middle), slice(middle, None)):
        stored += await store_page(storage, entries[part], None if expected is None else expected[part], refused)
    return stored
