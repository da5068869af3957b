"""Views for SQL readers, on the store that has SQL: SQLite, PostgreSQL, or that side of a hybrid."""

from __future__ import annotations

from typing import Protocol, runtime_checkable

from ..base import StorageBackend
from ..errors import UnsupportedError
from ..namespaces.backend import NamespacedBackend
from ..seller.views import VIEWS, Column, View

__all__ = ["Column", "View", "create_views", "drop_views", "view_statements"]


@runtime_checkable
class _HasViews(Protocol):
    def view_statements(self, views: tuple[View, ...]) -> list[str]: ...

    async def create_views(self, views: tuple[View, ...]) -> list[str]: ...

    async def drop_views(self, views: tuple[View, ...]) -> list[str]: ...


def view_statements(store: StorageBackend, views: tuple[View, ...] = VIEWS) -> list[str]:
    """Return the SQL that makes the views in this store; it need not be connected.

    Args:
        store: on SQLite or PostgreSQL.
        views: which.

    Raises:
        UnsupportedError: the store has no SQL.
    """
    return _sql_side(store).view_statements(views)


async def create_views(store: StorageBackend, views: tuple[View, ...] = VIEWS) -> list[str]:
    """Make the views, anew where an earlier call made them; return their names.

    Args:
        store: connected; on SQLite or PostgreSQL.
        views: which.

    Raises:
        UnsupportedError: the store has no SQL.
        StoreUnavailableError: something else has one of the names; nothing was changed.
    """
    return await _sql_side(store).create_views(views)


async def drop_views(store: StorageBackend, views: tuple[View, ...] = VIEWS) -> list[str]:
    """Remove the views that `create_views` made; return the names of those that were there.

    Raises:
        UnsupportedError: the store has no SQL.
        StoreUnavailableError: something else has one of the names; nothing was changed.
    """
    return await _sql_side(store).drop_views(views)


def _sql_side(store: StorageBackend) -> _HasViews:
    while isinstance(store, NamespacedBackend):
        store = store.backend
    for side in (store, getattr(store, "postgres", None)):  # of a hybrid
        if isinstance(side, _HasViews):
            return side
    raise UnsupportedError(
        f"{type(store).__name__} has no SQL, so it has no views; SQLite and PostgreSQL have. "
        "Copy the store into one of them to look at it with a dashboard."
    )
