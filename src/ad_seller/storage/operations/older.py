"""What older agents left, as a source of copies."""

from __future__ import annotations

from ..base import StorageBackend


def older_form(storage: StorageBackend) -> StorageBackend | None:
    """Return what reads the store of an older agent as it is, for `copy_entries` and `verify` as their source.

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
