"""What logs and outboxes need of a backend."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable
from typing import TYPE_CHECKING, Any, Protocol

from ..driver.commit import Commit, Outcome
from ..records.pages import OnCorrupt, Page

if TYPE_CHECKING:
    from ..capabilities import Capabilities
    from .transaction import Transaction


class Stored(Protocol):
    """The part of a `StorageBackend` on which logs and outboxes stand."""

    @property
    def capabilities(self) -> Capabilities:
        """See `StorageBackend.capabilities`."""

    async def get(self, key: str) -> Any | None:
        """See `StorageBackend.get`."""

    async def set(self, key: str, value: Any, ttl: Any = None) -> None:
        """See `StorageBackend.set`."""

    async def delete(self, key: str) -> bool:
        """See `StorageBackend.delete`."""

    async def ttl(self, key: str) -> float | None:
        """See `StorageBackend.ttl`."""

    async def get_many(self, keys: Iterable[str], *, on_corrupt: OnCorrupt = None) -> dict[str, Any]:
        """See `StorageBackend.get_many`."""

    async def delete_many(self, keys: Iterable[str]) -> int:
        """See `StorageBackend.delete_many`."""

    async def count(self, pattern: str = "*") -> int:
        """See `StorageBackend.count`."""

    async def scan(
        self,
        pattern: str = "*",
        *,
        limit: int | None = None,
        cursor: str | None = None,
        reverse: bool = False,
        on_corrupt: OnCorrupt = None,
    ) -> Page:
        """See `StorageBackend.scan`."""

    async def update(self, key: str, change: Callable[[Any], Any]) -> Any:
        """See `StorageBackend.update`."""

    async def transact(self, work: Callable[[Transaction], Awaitable[Any]]) -> Any:
        """See `StorageBackend.transact`."""

    async def _atomic_commit(self, commit: Commit) -> Outcome:
        """See `StorageBackend`."""

    def _atomic_encode(self, value: Any, key: str) -> bytes:
        """See `StorageBackend`."""

    def _log_seconds(self) -> tuple[float, float]:
        """See `StorageBackend`."""

    def _stored_as(self, prefix: str) -> str:
        """See `StorageBackend`."""

    async def _hears(self, prefix: str) -> bool:
        """See `StorageBackend`."""
