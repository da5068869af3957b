"""What the atomic tools need of a backend: the primitive, in two methods."""

from __future__ import annotations

from collections.abc import Awaitable, Mapping, Sequence
from typing import Any, Protocol

from ..driver.commit import Commit, Outcome, Write
from ..driver.query import KeyQuery
from ..records.pages import OnCorrupt


class SevenMethods(Protocol):
    """What `fallback` needs of a backend whose author wrote the seven methods."""

    async def get(self, key: str) -> Any | None:
        """See `StorageBackend.get`."""

    async def set(self, key: str, value: Any, ttl: Any = None) -> None:
        """See `StorageBackend.set`."""

    async def delete(self, key: str) -> bool:
        """See `StorageBackend.delete`."""

    async def exists(self, key: str) -> bool:
        """See `StorageBackend.exists`."""

    async def ttl(self, key: str) -> float | None:
        """See `StorageBackend.ttl`."""

    def _atomic_lasts(self, key: str) -> bool:
        """Tell whether nothing lets the entry under ``key`` expire, by the kind of record that it is."""


class Committer(Protocol):
    """The part of a backend on which transactions, leases and idempotent requests stand.

    The names are long so that an author's private methods do not meet them by chance.
    """

    async def exists(self, key: str) -> bool:
        """See `StorageBackend.exists`."""

    async def keys(self, pattern: str = "*") -> list[str]:
        """See `StorageBackend.keys`."""

    async def _entry_search(
        self, query: KeyQuery, on_corrupt: OnCorrupt
    ) -> tuple[list[tuple[str, Any]], str | None]:
        """See `StorageBackend`."""

    async def _atomic_snapshot(self, keys: Sequence[str]) -> list[bytes | None]:
        """Return the stored texts, as `_atomic_commit` compares them; None for a missing entry."""

    async def _atomic_commit(self, commit: Commit) -> Outcome:
        """Apply all writes if all expectations hold, else none."""

    def _atomic_finish(self, reads: Mapping[str, bytes | None], writes: Mapping[str, Write]) -> Awaitable[Outcome]:
        """Apply the writes of a transaction if all that it read is as it was, else none; both by key."""

    def _atomic_encode(self, value: Any, key: str) -> bytes:
        """Return the text of a value, with the backend's own limit on its size."""

    async def ttl(self, key: str) -> float | None:
        """See `StorageBackend.ttl`."""

    def _atomic_confirms(self, key: str) -> bool:
        """Tell whether what was read of ``key`` may be less durable than an acknowledged write."""

    def _atomic_parts(self) -> tuple[object, ...]:
        """Return the backends whose writes are writes of this one."""

    def _atomic_check(self) -> None:
        """Raise `NotConnectedError` if the backend cannot be used here and now."""
