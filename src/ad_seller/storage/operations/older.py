"""Stores as they are found, for who only looks: what older agents left, and what is not there."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager, suppress

from ..base import StorageBackend
from ..errors import MissingStoreError
from ..hybrid.backend import HybridBackend
from ..memory.backend import MemoryBackend
from .walking import refuse_unless_empty


def older_form(storage: StorageBackend) -> StorageBackend | None:
    """Return what reads the store of an older agent as it is, for `export_entries`, `copy_entries` and `verify`.

    Of PostgreSQL that is its table ``kv_store``, in a database that holds none of ours; of a hybrid that, and its
    Redis. SQLite files and Redis keys of older agents need nothing: they are read in place.

    Args:
        storage: a backend that could not be connected, because there is no store.

    Returns:
        A backend that is not connected; None if there is no older form for this engine.
    """
    if isinstance(storage, HybridBackend):
        older = older_form(storage.postgres)
        return None if older is None else HybridBackend(older, storage.redis, routes=storage.routes)
    try:
        from ..postgres.backend import PostgresBackend
        from ..postgres.older import OlderPostgres
    except ImportError:  # its library is not installed
        return None
    return OlderPostgres.of(storage) if isinstance(storage, PostgresBackend) else None


@asynccontextmanager
async def opened_as_it_is(storage: StorageBackend) -> AsyncIterator[StorageBackend]:
    """Connect a store for `export_entries`, `copy_entries` or `verify`, in the form of an older agent, too.

    No store is made, nor an older one taken over: what is connected is a copy of the backend if that would do so.

    Args:
        storage: a backend that is not connected.

    Raises:
        MissingStoreError: there is no store in any form.
    """
    found = storage._as_found()
    try:
        await found.connect()
    except MissingStoreError:
        older = older_form(storage)
        if older is None:
            raise
        found = older
        await found.connect()
    try:
        yield found
    finally:
        await found.disconnect()


@asynccontextmanager
async def opened_if_there(storage: StorageBackend) -> AsyncIterator[StorageBackend]:
    """Connect a store as `opened_as_it_is` does; where there is none, an empty one in memory."""
    async with AsyncExitStack() as stack:
        try:
            found = await stack.enter_async_context(opened_as_it_is(storage))
        except MissingStoreError:
            found = await stack.enter_async_context(MemoryBackend())
        yield found


async def refuse_unless_older_is_empty(storage: StorageBackend, prefix: str) -> None:
    """Raise `NotEmptyError` if the first connect would take over what an older agent has under ``prefix``.

    Args:
        storage: a backend that is not connected.
        prefix: what the keys begin with.
    """
    older = older_form(storage)
    if older is not None:
        with suppress(MissingStoreError):  # nothing waits to be taken over
            async with older:
                await refuse_unless_empty(older, prefix)
