"""Made by `python -m tests.sync.generate` from `StorageBackend`; not to be edited."""

from __future__ import annotations

from typing import Any

from ad_seller.storage import TTL, Health, StorageBackend

from ..handover import Methods


class StorageMethods(Methods[StorageBackend]):
    """The methods of `StorageBackend` without await."""

    def connect(self) -> None:
        """Open the backend; harmless if it is open."""
        return self._run(self._inner.connect)

    def disconnect(self) -> None:
        """Close the backend after what is under way; harmless if it is closed. It can be opened again."""
        return self._run(self._inner.disconnect)

    def get(self, key: str) -> Any | None:
        """Return the caller's own copy of the value under ``key``, or None if there is none."""
        return self._run(self._inner.get, key)

    def set(self, key: str, value: Any, ttl: TTL | None = None) -> None:
        """Store ``value`` under ``key``, in place of what was there and of its expiry."""
        return self._run(self._inner.set, key, value, ttl)

    def delete(self, key: str) -> bool:
        """Remove the entry and return True, or return False if there is none."""
        return self._run(self._inner.delete, key)

    def exists(self, key: str) -> bool:
        """Tell whether there is an entry under ``key``."""
        return self._run(self._inner.exists, key)

    def keys(self, pattern: str = "*") -> list[str]:
        """Return the keys that match the glob ``pattern`` (see `compile_glob`), sorted, each once."""
        return self._run(self._inner.keys, pattern)

    def health(self) -> Health:
        """Ask the store whether it answers, how fast, and what speaks against relying on it."""
        return self._run(self._inner.health)

    def ttl(self, key: str) -> float | None:
        """Return the seconds that the entry has left, or None if it does not expire."""
        return self._run(self._inner.ttl, key)

    def expire(self, key: str, ttl: TTL) -> bool:
        """Let the entry expire ``ttl`` seconds from now; return False if there is none."""
        return self._run(self._inner.expire, key, ttl)

    def persist(self, key: str) -> bool:
        """Let the entry never expire; return False if there is none."""
        return self._run(self._inner.persist, key)
