"""From settings to a storage without await."""

from __future__ import annotations

from ad_seller import storage

from .calls import run
from .storage import SyncStorage


def open_url(url: str, *, create: bool = True, namespace: str | None = None) -> SyncStorage:
    """Return a new storage for a URL, not yet connected; entered with ``with``, it is.

    Args:
        url: as for `ad_seller.storage.open_url`.
        create: likewise.
        namespace: likewise.

    Raises:
        ConfigurationError: no storage type fits the URL.
    """
    return SyncStorage(storage.open_url(url, create=create, namespace=namespace))


def get_storage_backend(
    storage_type: str | None = None,
    database_url: str | None = None,
    redis_url: str | None = None,
    *,
    create: bool = True,
    namespace: str | None = None,
) -> SyncStorage:
    """Return a new storage, not yet connected; arguments and errors are those of the asynchronous one."""
    return SyncStorage(
        storage.get_storage_backend(storage_type, database_url, redis_url, create=create, namespace=namespace)
    )


def get_storage() -> SyncStorage:
    """Return the connected storage that the application shares, with its asynchronous code, too.

    Raises:
        ConfigurationError: see `ad_seller.storage.get_storage_backend`.
        StorageConnectionError: it cannot be reached or opened.
    """
    return SyncStorage(run(storage.get_storage))


def close_storage() -> None:
    """Close the shared storage, in every event loop that uses it; the next `get_storage` makes a new one."""
    run(storage.close_storage)
