"""The backends that a store is made of."""

from __future__ import annotations

from ...base import StorageBackend
from ...namespaces.backend import NamespacedBackend


def sides_of(store: StorageBackend) -> list[StorageBackend]:
    """Return both sides of a hybrid, and any other store itself; of a namespace, what it stands on."""
    while isinstance(store, NamespacedBackend):
        store = store.backend
    sides = [getattr(store, name, None) for name in ("postgres", "redis")]
    found = [side for side in sides if isinstance(side, StorageBackend)]
    return found or [store]
