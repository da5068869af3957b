"""What the tools of the base ask of a backend, asked of the namespace's part of another one.

Only the base calls these: reads and commits of several keys, pages of stored texts, what is known of a commit.
"""

from __future__ import annotations

from abc import ABC
from collections.abc import AsyncIterator, Awaitable, Coroutine, Iterable, Mapping, Sequence
from typing import Any, TypeVar

from ..atomic.pending import Change
from ..base import StorageBackend
from ..driver.commit import Commit, Outcome, Refused, Write
from ..driver.query import KeyQuery
from ..driver.transfer import StoredEntry
from ..errors import NotConnectedError, StorageError
from ..records.filters import Condition
from ..records.keys import check_key
from ..records.markers import Keep
from ..records.namespaces import SURE, check_length
from ..records.pages import OnCorrupt
from ..stats import Target
from .names import Names

T = TypeVar("T")


class NamespaceHooks(StorageBackend, ABC):
    """A backend whose hooks are those of ``backend``, with other keys.

    Attributes:
        backend: where the entries are.
    """

    backend: StorageBackend
    _names: Names
    _prefix: str
    _most: int  #: characters of a key that is never too long
    _is_open: bool

    # --- whether, and under which key ------------------------------------------------------------------

    def _is_connected(self) -> bool:
        return self._is_open and self.backend._is_connected()

    def _atomic_check(self) -> None:
        if not self._is_open:
            raise NotConnectedError("Storage not connected. Call connect() first.")
        self.backend._atomic_check()

    def _full(self, key: str) -> str:
        """Return what ``key`` is stored under; refused while the namespace is not connected."""
        full = self._prefix + check_key(key)
        if len(full) > SURE:
            check_length(full, key)
        if not self._is_open:
            raise NotConnectedError("Storage not connected. Call connect() first.")
        return full

    def _all_full(self, keys: Sequence[str]) -> list[str]:
        """Return likewise what checked keys are stored under."""
        if not self._is_open:
            raise NotConnectedError("Storage not connected. Call connect() first.")
        return self._names.all_full(keys)

    async def _asked(self, call: Awaitable[T]) -> T:
        """Return what the backend answers; its errors name keys as the caller does."""
        try:
            return await call
        except StorageError as error:
            raise self._names.seen(error) from error.__cause__

    def _telemetry_target(self, key: str | None) -> Target:
        return self.backend._telemetry_target(key and self._names.full(key))

    # --- listings and whole stores ---------------------------------------------------------------------

    async def _keys_below(self, prefix: str, pattern: str) -> list[str]:
        self._atomic_check()
        return await self._asked(self.backend._keys_below(self._prefix + prefix, pattern))

    async def _count_below(self, prefix: str, pattern: str) -> int:
        self._atomic_check()
        return await self._asked(self.backend._count_below(self._prefix + prefix, pattern))

    async def _entry_search(
        self, query: KeyQuery, on_corrupt: OnCorrupt, cut: int = 0
    ) -> tuple[list[tuple[str, Any]], str | None]:
        if not self._is_open:
            raise NotConnectedError("Storage not connected. Call connect() first.")
        names, cut = self._names, cut + len(self._prefix)
        try:
            items, last = await self.backend._entry_search(names.query(query), names.told(on_corrupt), cut)
        except StorageError as error:
            raise names.seen(error) from error.__cause__
        if query.reverse and items and not items[-1][0]:
            del items[-1]  # of somebody who wrote past the namespace: it has no name here
        return items, None if last is None else names.one(last) or None

    async def _records(
        self, prefix: str, where: tuple[Condition, ...], limit: int | None, reverse: bool, on_corrupt: OnCorrupt
    ) -> list[Any]:
        if not self._is_open:
            raise NotConnectedError("Storage not connected. Call connect() first.")
        names = self._names
        try:  # the prefix of a kind is never empty; no key is cut, because none is returned
            return await self.backend._records(names.prefix + prefix, where, limit, reverse, names.told(on_corrupt))
        except StorageError as error:
            raise names.seen(error) from error.__cause__

    @property
    def _deadline_slack(self) -> int:  # type: ignore[override]  # the backend decides
        return self.backend._deadline_slack

    async def _entry_pages(self, prefix: str, after: str | None = None) -> AsyncIterator[list[StoredEntry]]:
        names = self._names
        self._atomic_check()
        start = names.prefix + (after or "") if after or not prefix else None
        try:
            async for page in self.backend._entry_pages(names.prefix + prefix, start):
                yield [StoredEntry(names.one(key), text, deadline) for key, text, deadline in page]
        except StorageError as error:
            raise names.seen(error) from error.__cause__

    async def _entries_at(self, keys: Sequence[str]) -> list[StoredEntry]:
        found = await self._asked(self.backend._entries_at(self._all_full(keys)))
        return [StoredEntry(self._names.one(key), text, deadline) for key, text, deadline in found]

    async def _entry_estimate(self, prefix: str) -> int | None:
        self._atomic_check()
        return await self._asked(self.backend._entry_estimate(self._prefix + prefix))

    async def _store_entries(
        self, entries: Sequence[StoredEntry], expected: Sequence[bytes | None] | None = None
    ) -> Sequence[bool | StorageError]:
        names = self._names
        full = [StoredEntry(self._full(key), text, deadline) for key, text, deadline in entries]
        stored = await self._asked(self.backend._store_entries(full, expected))
        return [names.seen(flag) if isinstance(flag, StorageError) else flag for flag in stored]

    # --- the primitive under the atomic tools ----------------------------------------------------------

    async def _atomic_snapshot(self, keys: Sequence[str]) -> list[bytes | None]:
        if not self._is_open:
            raise NotConnectedError("Storage not connected. Call connect() first.")
        full = self._names.all_full(keys)
        try:
            return await self.backend._atomic_snapshot(full)
        except StorageError as error:
            raise self._names.seen(error) from error.__cause__

    def _atomic_commit(self, commit: Commit) -> Coroutine[Any, Any, Outcome]:
        return self._committed(commit.expectations, commit.writes)

    def _atomic_finish(
        self, reads: Mapping[str, bytes | None], writes: Mapping[str, Write]
    ) -> Coroutine[Any, Any, Outcome]:
        return self._committed(reads.items(), writes.values())

    async def _committed(
        self, expectations: Iterable[tuple[str, bytes | None]], writes: Iterable[Write]
    ) -> Outcome:
        if not self._is_open:
            raise NotConnectedError("Storage not connected. Call connect() first.")
        full = self._names.commit(expectations, writes)
        try:
            outcome = await self.backend._atomic_commit(full)
        except StorageError as error:
            raise self._names.seen(error) from error.__cause__
        return Refused(self._names.one(outcome.key)) if isinstance(outcome, Refused) else outcome

    async def _atomic_update(self, key: str, change: Change, ttl: int | Keep | None, attempts: int) -> Any:
        full = self._full(key)
        try:  # those who update the entry by another instance of the namespace stand in the same queue
            return await self.backend._atomic_update(full, change, ttl, attempts)
        except StorageError as error:
            raise self._names.seen(error) from error.__cause__

    def _atomic_confirms(self, key: str) -> bool:
        return self.backend._atomic_confirms(self._names.full(key))

    def _log_seconds(self) -> tuple[float, float]:
        return self.backend._log_seconds()

    def _stored_as(self, prefix: str) -> str:
        return self.backend._stored_as(self._names.prefix + prefix)

    async def _hears(self, prefix: str) -> bool:
        return await self.backend._hears(self._names.prefix + prefix)

    def _atomic_lasts(self, key: str) -> bool:
        return self.backend._atomic_lasts(self._names.full(key))

    def _atomic_parts(self) -> tuple[object, ...]:
        return (self, *self.backend._atomic_parts())

    def _atomic_encode(self, value: Any, key: str) -> bytes:
        if len(key) > self._most:
            check_length(self._prefix + key, key)
        return self.backend._atomic_encode(value, key)  # which names the key, and reads its kind, as it is here
