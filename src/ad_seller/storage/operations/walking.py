"""Pages of a store, read again where a server was away for a moment."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Final, TypeVar

from ..atomic.lease import FENCE_PREFIX, LEASE_PREFIX
from ..base import StorageBackend
from ..driver.commit import Commit, Delete, Expect
from ..driver.transfer import StoredEntry
from ..errors import (
    CorruptValueError,
    InvalidArgumentError,
    LeaseLostError,
    NotEmptyError,
    StorageConnectionError,
    StorageError,
    StorageTimeoutError,
    UnknownOutcomeError,
    UnsupportedError,
)
from ..records.keys import check_key

T = TypeVar("T")

#: The lease that a copy holds in its target; in braces, so that a cluster keeps both of its entries in one slot.
LEASE: Final = "{copy}"
OWN_KEYS: Final = frozenset({LEASE_PREFIX + LEASE, FENCE_PREFIX + LEASE})

#: What may be over in a moment; to read again, and to store the same again, does no harm.
TRANSIENT: Final = (StorageConnectionError, StorageTimeoutError, UnknownOutcomeError)

#: What is the fault of an entry; all else is the store's.
ENTRY_ALONE: Final = (InvalidArgumentError, CorruptValueError, UnsupportedError)

_PATIENCE: Final = 15.0  #: seconds in which a call is tried again
_PAUSE: Final = 0.2  #: seconds between two tries


def check_prefix(prefix: str) -> None:
    """Make sure that keys can begin so: an operation on none of them would look like one that is done.

    Raises:
        InvalidKeyError: they cannot.
    """
    if prefix != "":
        check_key(prefix)


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


async def estimate(storage: StorageBackend, prefix: str = "") -> int | None:
    """Return about how many entries there are, for a progress bar; None if that cannot be told at little cost.

    Args:
        storage: a connected backend.
        prefix: what their keys begin with.
    """
    return await storage._entry_estimate(prefix)


async def refuse_unless_empty(storage: StorageBackend, prefix: str) -> None:
    """Raise `NotEmptyError` if there is an entry under ``prefix``, besides what a copy leaves behind."""
    async for page in pages_of(storage, prefix):
        if keys := [entry.key for entry in page if entry.key not in OWN_KEYS]:
            raise NotEmptyError(
                f"{storage!r} is not empty: there is {keys[0]!r}. Say what wins where both have an entry: keep "
                "what is there, or replace it; or name an empty store.",
                key=keys[0],
            )


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


@contextmanager
def why_the_lease_was_lost() -> Iterator[None]:
    """Raise what kept the lease from being renewed in its place: more often the target is away than another's."""
    try:
        yield
        return
    except LeaseLostError as error:
        why = error.__cause__
        if not isinstance(why, StorageError):
            raise
    raise why  # here, and without ``from``: each would be the cause of the other


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
        answers = await patiently(lambda: storage._store_entries(entries, expected))
    except ENTRY_ALONE as error:
        if len(entries) == 1:
            refused(entries[0], error)
            return 0
    else:
        if (stored := answers.count(True)) < len(entries):
            for entry, answer in zip(entries, answers, strict=True):
                if isinstance(answer, StorageError):
                    refused(entry, answer)
        return stored
    middle = len(entries) // 2
    stored = 0
    for part in (slice(0, middle), slice(middle, None)):
        stored += await store_page(storage, entries[part], None if expected is None else expected[part], refused)
    return stored


async def are_one(source: StorageBackend, target: StorageBackend, key: str, inside: str = "") -> bool:
    """Tell whether the lease in the target, whose text no other has, stands in the source, too."""
    [text] = await target._atomic_snapshot([key])
    key = inside + key
    async for page in pages_of(source, key):
        if any(entry.key == key and entry.text == text for entry in page):
            return True
    return False


async def place_within(source: StorageBackend, target: StorageBackend, key: str, prefix: str) -> str:
    """Return what keys of the target begin with in the source, if it is a namespace of what is read of it."""
    inside = target._stored_as("").removeprefix(source._stored_as(""))
    if inside and (inside.startswith(prefix) or prefix.startswith(inside)):
        return inside if await are_one(source, target, key, inside) else ""
    return ""


async def clear_away(target: StorageBackend) -> None:
    """Remove the number that the lease leaves behind, unless another copy has begun; nothing depends on it."""
    lease, fence = LEASE_PREFIX + LEASE, FENCE_PREFIX + LEASE
    with suppress(StorageError):
        [text] = await target._atomic_snapshot([fence])
        await target._atomic_commit(Commit((Expect(lease, None), Expect(fence, text)), (Delete(fence),)))
