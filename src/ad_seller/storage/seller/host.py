"""What the helpers of records expect of the class that they are mixed into."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable
from typing import Any

from ..driver.query import KeyQuery
from ..records.expiry import TTL
from ..records.filters import Condition
from ..records.globs import prefix_glob
from ..records.markers import KEEP, Keep
from ..records.pages import OnCorrupt, Page


class Host:
    """Keys and values, with what the helpers need of them; a backend and a transaction both are one."""

    async def get(self, key: str) -> Any | None:
        """See `StorageBackend.get`."""
        raise NotImplementedError

    async def set(self, key: str, value: Any, ttl: Any = None) -> None:
        """See `StorageBackend.set`."""
        raise NotImplementedError

    async def delete(self, key: str) -> bool:
        """See `StorageBackend.delete`."""
        raise NotImplementedError

    async def exists(self, key: str) -> bool:
        """See `StorageBackend.exists`."""
        raise NotImplementedError

    async def get_many(self, keys: Iterable[str], *, on_corrupt: OnCorrupt = None) -> dict[str, Any]:
        """See `StorageBackend.get_many`."""
        raise NotImplementedError

    async def update(self, key: str, change: Callable[[Any], Any], *, ttl: TTL | Keep | None = KEEP) -> Any:
        """See `StorageBackend.update`."""
        raise NotImplementedError

    async def scan(self, pattern: str = "*", *, on_corrupt: OnCorrupt = None) -> Page:
        """See `StorageBackend.scan`."""
        raise NotImplementedError

    async def _in_transaction(self, work: Callable[[Any], Awaitable[Any]]) -> Any:
        """Run ``work`` in a transaction, and return what it returns; a transaction is one itself."""
        raise NotImplementedError

    async def _is_stored(self, key: str) -> bool:
        """Tell whether there is an entry; a transaction knows only what it writes."""
        return await self.exists(key)

    async def _missing(self, keys: list[str]) -> frozenset[str]:
        """Return those of the keys that have no entry, all asked for at once."""
        there = await asyncio.gather(*(self.exists(key) for key in keys))
        return frozenset(key for key, exists in zip(keys, there, strict=True) if not exists)

    async def _entry_search(
        self, query: KeyQuery, on_corrupt: OnCorrupt
    ) -> tuple[list[tuple[str, Any]], str | None]:
        """Return what ``query`` asks for, and the key after which there is more; None if there is not."""
        raise NotImplementedError

    async def _records(
        self, prefix: str, where: tuple[Condition, ...], limit: int | None, reverse: bool, on_corrupt: OnCorrupt
    ) -> list[Any]:
        """Return the values under the keys that begin with ``prefix`` and fulfil ``where``, in their order."""
        items, _ = await self._entry_search(KeyQuery(prefix_glob(prefix), None, limit, where, reverse), on_corrupt)
        return [value for _, value in items]
