"""Made by `python -m tests.sync.generate` from `BulkOperations`; not to be edited."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from ad_seller.storage import TTL, OnCorrupt, Page, StorageBackend

from ..handover import Methods, reported


class BulkMethods(Methods[StorageBackend]):
    """The methods of `BulkOperations` without await."""

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
