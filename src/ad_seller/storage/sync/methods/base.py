"""Made by `python -m tests.sync.generate` from `StorageBackend`; not to be edited."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from ad_seller.storage import TTL, Health, OnCorrupt, Page, StorageBackend

from ..handover import Methods, reported


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

    def get_many(self, keys: Iterable[str], *, on_corrupt: OnCorrupt = None) -> dict[str, Any]:
        """Return the values of those ``keys`` that have one, in the order of ``keys``."""
        with reported(on_corrupt) as report:
            return self._run(self._inner.get_many, keys, on_corrupt=report)

    def set_many(self, mapping: Mapping[str, Any], ttl: TTL | None = None) -> None:
        """Store every value of ``mapping`` under its key, all with the same ``ttl`` in seconds."""
        return self._run(self._inner.set_many, mapping, ttl)

    def delete_many(self, keys: Iterable[str]) -> int:
        """Remove the entries under ``keys`` and return how many there were."""
        return self._run(self._inner.delete_many, keys)

    def scan(
        self,
        pattern: str = "*",
        *,
        limit: int | None = None,
        cursor: str | None = None,
        reverse: bool = False,
        on_corrupt: OnCorrupt = None,
    ) -> Page:
        """Return a page of the entries whose keys match, in the order of their keys."""
        with reported(on_corrupt) as report:
            return self._run(
                self._inner.scan, pattern, limit=limit, cursor=cursor, reverse=reverse, on_corrupt=report
            )

    def find(
        self,
        pattern: str,
        where: Mapping[str, Any],
        *,
        reverse: bool = False,
        limit: int | None = None,
        cursor: str | None = None,
        on_corrupt: OnCorrupt = None,
    ) -> Page:
        """Return a page of the records with certain fields, in the order of their keys."""
        with reported(on_corrupt) as report:
            return self._run(
                self._inner.find, pattern, where, reverse=reverse, limit=limit, cursor=cursor, on_corrupt=report
            )

    def count(self, pattern: str = "*") -> int:
        """Return how many keys match the glob ``pattern``."""
        return self._run(self._inner.count, pattern)

    def ttl(self, key: str) -> float | None:
        """Return the seconds that the entry has left, or None if it does not expire."""
        return self._run(self._inner.ttl, key)

    def expire(self, key: str, ttl: TTL) -> bool:
        """Let the entry expire ``ttl`` seconds from now; return False if there is none."""
        return self._run(self._inner.expire, key, ttl)

    def persist(self, key: str) -> bool:
        """Let the entry never expire; return False if there is none."""
        return self._run(self._inner.persist, key)
