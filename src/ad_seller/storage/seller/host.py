"""What the helpers of records expect of the class that they are mixed into."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ..records.expiry import TTL
from ..records.filters import Condition
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

    async def update(self, key: str, change: Callable[[Any], Any], *, ttl: TTL | Keep | None = KEEP) -> Any:
        """See `StorageBackend.update`."""
        raise NotImplementedError

    async def scan(self, pattern: str = "*", *, on_corrupt: OnCorrupt = None) -> Page:
        """See `StorageBackend.scan`."""
        raise NotImplementedError

    async def _entity_scan(
        self, prefix: str, where: tuple[Condition, ...], on_corrupt: OnCorrupt
    ) -> list[tuple[str, Any]]:
        """Return the entries under ``prefix``, at least those that match; a backend with an index returns few."""
        return (await self.scan(f"{prefix}*", on_corrupt=on_corrupt)).items
