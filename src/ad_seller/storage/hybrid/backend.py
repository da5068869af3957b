"""Two backends as one: durable records in the first, short-lived entries in the second.

Each key belongs to one side, decided by its prefix. What is stored on the other side under such a key, e.g. from
before the two were joined, is not seen.
"""

from __future__ import annotations

import heapq
from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from functools import partial
from typing import Any

from ..base import StorageBackend
from ..concurrency.tasks import all_of
from ..driver.commit import Commit, Outcome
from ..driver.query import KeyQuery
from ..driver.transfer import StoredEntry
from ..errors import CrossStoreError, StorageError
from ..records.expiry import TTL, check_ttl
from ..records.globs import compile_glob, escape
from ..records.keys import check_keys, copied
from ..records.namespaces import MARK, local_key
from ..records.pages import OnCorrupt, Page, check_limit
from .finding import merged, owned
from .merge import SideWalk, decode_merged, merge, merged_pages
from .sides import Sides


class HybridBackend(Sides):
    """A backend that keeps each entry in one of two others.

    Listings show both in one order. What is committed together must live on one side.

    Args:
        postgres: where everything lives that ``routes`` do not name; PostgreSQL, or any backend.
        redis: where the entries of ``routes`` live; Redis, or any backend.
        routes: prefixes of keys.
    """

    # --- one entry -------------------------------------------------------------------------------------

    async def get(self, key: str) -> Any | None:
        """See `StorageBackend.get`."""
        return await self.side_of(key).get(key)

    async def set(self, key: str, value: Any, ttl: TTL | None = None) -> None:
        """See `StorageBackend.set`."""
        await self.side_of(key).set(key, value, ttl)

    async def delete(self, key: str) -> bool:
        """See `StorageBackend.delete`."""
        return await self.side_of(key).delete(key)

    async def exists(self, key: str) -> bool:
        """See `StorageBackend.exists`."""
        return await self.side_of(key).exists(key)

    async def ttl(self, key: str) -> float | None:
        """See `StorageBackend.ttl`."""
        return await self.side_of(key).ttl(key)

    # --- several entries: one call to each side, at the same time --------------------------------------

    async def get_many(self, keys: Iterable[str], *, on_corrupt: OnCorrupt = None) -> dict[str, Any]:
        """See `StorageBackend.get_many`."""
        wanted = check_keys(keys)
        parts = self._split(wanted)
        found = await all_of([side.get_many(part, on_corrupt=on_corrupt) for side, part in parts])
        merged = {key: value for part in found for key, value in part.items()}
        return {key: merged[key] for key in wanted if key in merged}

    async def set_many(self, mapping: Mapping[str, Any], ttl: TTL | None = None) -> None:
        """See `StorageBackend.set_many`; each side stores its part as atomically as it can."""
        check_ttl(ttl)
        mapping = copied(mapping)
        parts = self._split(check_keys(mapping))
        if len(parts) > 1:
            for key, value in mapping.items():
                self._atomic_encode(value, key)  # checked before the first is written
        await all_of([side.set_many({key: mapping[key] for key in part}, ttl) for side, part in parts])

    async def delete_many(self, keys: Iterable[str]) -> int:
        """See `StorageBackend.delete_many`."""
        return sum(await all_of([side.delete_many(part) for side, part in self._split(check_keys(keys))]))

    def _split(self, keys: Iterable[str]) -> list[tuple[StorageBackend, list[str]]]:
        """Return the sides that have some of the keys, with those; the first side if there are none."""
        parts: dict[int, list[str]] = {}
        for key in keys:
            parts.setdefault(self._place_of(key), []).append(key)
        return [(self._sides[side], part) for side, part in sorted((parts or {0: []}).items())]

    # --- listings --------------------------------------------------------------------------------------

    async def keys(self, pattern: str = "*") -> list[str]:
        """See `StorageBackend.keys`."""
        sides = self._sides_of(pattern)
        found = await all_of([side.keys(pattern) for side in sides])
        own = ([k for k in keys if self._is_on(side, k)] for side, keys in zip(sides, found, strict=True))
        return list(heapq.merge(*own))

    async def count(self, pattern: str = "*") -> int:
        """See `StorageBackend.count`."""
        return len(await self.keys(pattern))

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
        check_limit(limit)
        sides = self._sides_of(pattern)
        last, starts = decode_merged(cursor, len(sides))
        walks = [
            SideWalk(side, partial(self._is_on, side), pattern, limit, start, last, bool(reverse))
            for side, start in zip(sides, starts, strict=True)
        ]
        await all_of([walk.read() for walk in walks])
        return merge(walks, limit, on_corrupt, reverse=bool(reverse))

    async def _entry_search(
        self, query: KeyQuery, on_corrupt: OnCorrupt, cut: int = 0
    ) -> tuple[list[tuple[str, Any]], str | None]:
        sides = self._sides_of(f"{escape(query.glob.prefix)}*")
        if len(sides) == 1:
            return await sides[0]._entry_search(query, on_corrupt, cut)
        found = await all_of([owned(side, partial(self._is_on, side), query) for side in sides])
        items, last = merged(found, query, on_corrupt)
        return [(key[cut:], value) for key, value in items], last

    def _sides_of(self, pattern: str) -> list[StorageBackend]:
        """Return the sides on which keys that match can live."""
        prefix = local_key(compile_glob(pattern).prefix)
        if prefix.startswith(MARK) or MARK.startswith(prefix):
            return [self.postgres, self.redis]  # of any namespace
        if prefix.startswith(self.routes):
            return [self.redis]
        return [self.postgres, self.redis] if any(r.startswith(prefix) for r in self.routes) else [self.postgres]

    def _is_on(self, side: StorageBackend, key: str) -> bool:
        return self._sides[self._place_of(key)] is side

    # --- whole stores ----------------------------------------------------------------------------------

    @property
    def _deadline_slack(self) -> int:  # type: ignore[override]  # a side decides
        return max(side._deadline_slack for side in self._sides)

    async def _entry_pages(self, prefix: str, after: str | None = None) -> AsyncIterator[list[StoredEntry]]:
        sides = self._sides_of(f"{escape(prefix)}*")
        walks = [(side._entry_pages(prefix, after), partial(self._is_on, side)) for side in sides]
        async for page in merged_pages(walks):
            yield page

    async def _entries_at(self, keys: Sequence[str]) -> list[StoredEntry]:
        parts = await all_of([side._entries_at(part) for side, part in self._split(keys)])
        found = {entry.key: entry for part in parts for entry in part}
        return [found[key] for key in keys if key in found]

    async def _entry_estimate(self, prefix: str) -> int | None:
        numbers = await all_of([side._entry_estimate(prefix) for side in self._sides_of(f"{escape(prefix)}*")])
        known = [number for number in numbers if number is not None]
        return sum(known) if len(known) == len(numbers) else None

    async def _store_entries(
        self, entries: Sequence[StoredEntry], expected: Sequence[bytes | None] | None = None
    ) -> Sequence[bool | StorageError]:
        stored: dict[str, bool | StorageError] = {}
        texts = dict(zip((entry.key for entry in entries), expected or (), strict=False))
        for side in self._sides:
            part = [entry for entry in entries if self._is_on(side, entry.key)]
            given = None if expected is None else [texts[entry.key] for entry in part]
            flags = await side._store_entries(part, given) if part else []
            stored |= zip((entry.key for entry in part), flags, strict=True)
        return [stored[entry.key] for entry in entries]

    # --- the primitive under the atomic tools ----------------------------------------------------------

    async def _atomic_snapshot(self, keys: Sequence[str]) -> list[bytes | None]:
        parts = self._split(dict.fromkeys(keys))
        texts = await all_of([side._atomic_snapshot(part) for side, part in parts])
        found = {
            key: text
            for (_, part), column in zip(parts, texts, strict=True)
            for key, text in zip(part, column, strict=True)
        }
        return [found[key] for key in keys]

    async def _atomic_commit(self, commit: Commit) -> Outcome:
        parts = self._split(commit.keys)
        if len(parts) > 1:
            (one, first), (two, second) = parts
            raise CrossStoreError(
                f"{first[0]!r} lives in {type(one).__name__} and {second[0]!r} in {type(two).__name__}; they "
                "cannot be committed together, and nothing was written. Use two transactions, or other routes.",
                key=commit.first_key,
            )
        return await parts[0][0]._atomic_commit(commit)

    def _log_seconds(self) -> tuple[float, float]:
        (commit, clock), (other_commit, other_clock) = (side._log_seconds() for side in self._sides)
        return max(commit, other_commit), max(clock, other_clock)

    async def _hears(self, prefix: str) -> bool:
        return await self.side_of(prefix)._hears(prefix)

    def _atomic_confirms(self, key: str) -> bool:
        return self.side_of(key)._atomic_confirms(key)

    def _atomic_parts(self) -> tuple[object, ...]:
        return (self, *self._sides)

    def _atomic_check(self) -> None:
        for side in self._sides:
            side._atomic_check()

    def _atomic_encode(self, value: Any, key: str) -> bytes:
        return self.side_of(key)._atomic_encode(value, key)
