"""Made by `python -m tests.sync.generate` from `AtomicOperations`; not to be edited."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any, Generic, TypeVar, overload

from ad_seller.storage import KEEP, TTL, Keep, Marker, StorageBackend

from ..handover import Methods, in_loop

T = TypeVar("T")
Tx = TypeVar("Tx")


class AtomicMethods(Methods[StorageBackend], Generic[Tx]):
    """The methods of `AtomicOperations` without await."""

    def _in_thread(self, work: Callable[..., T]) -> Callable[..., Awaitable[T]]:
        raise NotImplementedError

    def create(self, key: str, value: Any, ttl: TTL | None = None) -> bool:
        """Store ``value`` only if there is no entry under ``key``; tell whether it was stored."""
        return self._run(self._inner.create, key, value, ttl)

    def compare_and_set(self, key: str, expected: Any, value: Any, ttl: TTL | Keep | None = KEEP) -> bool:
        """Store ``value`` only if the entry holds ``expected`` at that moment; tell whether it was stored."""
        return self._run(self._inner.compare_and_set, key, expected, value, ttl)

    def get_and_delete(self, key: str) -> Any | None:
        """Remove the entry and return the value that it had, or None; of several callers one gets it."""
        return self._run(self._inner.get_and_delete, key)

    def increment(self, key: str, by: int = 1, ttl: TTL | None = None) -> int:
        """Add ``by`` to the int under ``key``, starting from 0 (or from a stored null), and return the sum."""
        return self._run(self._inner.increment, key, by, ttl)

    @overload
    def update(
        self, key: str, change: Callable[[Any], Marker], *, ttl: TTL | Keep | None = KEEP, attempts: int = 300
    ) -> Any: ...

    @overload
    def update(
        self, key: str, change: Callable[[Any], T | Marker], *, ttl: TTL | Keep | None = KEEP, attempts: int = 300
    ) -> T: ...

    def update(
        self, key: str, change: Callable[[Any], Any], *, ttl: TTL | Keep | None = KEEP, attempts: int = 300
    ) -> Any:
        """Replace the value under ``key`` by ``change(value)`` and return the new one; nothing is lost."""
        return self._run(self._inner.update, key, in_loop(change), ttl=ttl, attempts=attempts)

    def transact(self, work: Callable[[Tx], T], *, attempts: int = 300) -> T:
        """Run ``work`` with a transaction, again on a conflict, and return what it returns."""
        return self._run(self._inner.transact, self._in_thread(work), attempts=attempts)
