"""What older agents left, as a source of copies."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

from ..base import StorageBackend
from ..errors import MissingStoreError
from .walking import refuse_unless_empty


def older_form(storage: StorageBackend) -> StorageBackend | None:
    """Return what reads the store of an older agent as it is, for `export_entries`, `copy_entries` and `verify`.

    Of PostgreSQL that is its table ``kv_store``, in a database that holds none of ours. SQLite files and Redis keys
    of older agents need nothing: they are read in place.

    Args:
        storage: a backend that could not be connected, because there is no store.

    Returns:
        A backend that is not connected; None if there is no older form for this engine.
    """
    try:
        from ..postgres.backend import PostgresBackend
        from ..postgres.older import OlderPostgres
    except ImportError:  # its library is not installed
        return None
    return OlderPostgres.of(storage) if isinstance(storage, PostgresBackend) else None


@asynccontextmanager
async def opened_as_it_is(storage: StorageBackend) -> AsyncIterator[StorageBackend]:
    """Connect a store for `export_entries`, `copy_entries` or `verify`, in the form of an older agent, too.

    Args:
        storage: a backend that is not connected, and that makes no store where there is none (``create=False``).

    Raises:
        MissingStoreError: there is no store in any form.
    """
    try:
        await storage.connect()
    except MissingStoreError:
        older = older_form(storage)
        if older is None:
            raise
        storage = older
        await storage.connect()
    try:
        yield storage
    finally:
        await storage.disconnect()


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
