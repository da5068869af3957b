"""The backends that a store is made of."""

from __future__ import annotations

from ...base import StorageBackend


def sides_of(store: StorageBackend) -> list[StorageBackend]:
    """Return both sides of a hybrid, and any other store itself."""
    sides = [getattr(store, name, None) for name in ("postgres", "redis")]
    found = [side for side in sides if isinstance(side, StorageBackend)]
    return found or [store]
