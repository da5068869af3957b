"""Made by `python -m tests.sync.generate` from `PlainTransaction`; not to be edited."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, TypeVar, overload

from ad_seller.storage import KEEP, TTL, Keep, Marker, OnCorrupt, Page, Transaction

from ..handover import Methods, in_loop, reported
from ..lease import SyncLease

T = TypeVar("T")


class PlainTransactionMethods(Methods[Transaction]):
    """The methods of `PlainTransaction` without await."""

    def get(self, key: str) -> Any | None:
        """Return the caller's own copy of the value, own writes included, or None."""
        return self._run(self._inner.get, key)

    def exists(self, key: str) -> bool:
        """Tell whether there is an entry, own writes included."""
        return self._run(self._inner.exists, key)

    def get_many(self, keys: Iterable[str], *, on_corrupt: OnCorrupt = None) -> dict[str, Any]:
        """Return the values of those ``keys`` that have one, own writes included, in the order of ``keys``."""
        with reported(on_corrupt) as report:
            return self._run(self._inner.get_many, keys, on_corrupt=report)

    def scan(self, pattern: str = "*", *, on_corrupt: OnCorrupt = None) -> Page:
        """Return all entries whose keys match, own writes included; each is watched like one that `get` read."""
        with reported(on_corrupt) as report:
            return self._run(self._inner.scan, pattern, on_corrupt=report)

    def set(self, key: str, value: Any, ttl: TTL | Keep | None = None) -> None:
        """Store ``value`` at the end; ``ttl`` in seconds, None for never, `KEEP` for the expiry that it has."""
        return self._run(self._inner.set, key, value, ttl)

    def delete(self, key: str) -> bool:
        """Remove the entry at the end; tell whether there is one."""
        return self._run(self._inner.delete, key)

    def create(self, key: str, value: Any, ttl: TTL | None = None) -> bool:
        """Store ``value`` at the end if there is no entry now; tell whether it will be stored."""
        return self._run(self._inner.create, key, value, ttl)

    @overload
    def update(self, key: str, change: Callable[[Any], Marker], *, ttl: TTL | Keep | None = KEEP) -> Any: ...

    @overload
    def update(self, key: str, change: Callable[[Any], T | Marker], *, ttl: TTL | Keep | None = KEEP) -> T: ...

    def update(self, key: str, change: Callable[[Any], Any], *, ttl: TTL | Keep | None = KEEP) -> Any:
        """Replace the value by ``change(value)`` at the end; see `StorageBackend.update`."""
        return self._run(self._inner.update, key, in_loop(change), ttl=ttl)

    def hold(self, lease: SyncLease) -> None:
        """Let the commit depend on ``lease`` still being held."""
        return self._run(self._inner.hold, lease.inner)
