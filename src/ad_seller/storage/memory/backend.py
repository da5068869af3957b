"""Entries in this process's memory: for tests, demonstrations and caches; gone with the process."""

from __future__ import annotations

import heapq
import math
from bisect import bisect_left, bisect_right, insort
from collections.abc import Iterator, Sequence
from typing import NamedTuple

from ..capabilities import Capabilities
from ..concurrency.timeslice import TimeSlice
from ..driver.commit import Commit, Delete, Outcome, Put, Refused, Touch, Write
from ..driver.engine import MISSING, NO_EXPIRY
from ..driver.query import KeyQuery
from ..errors import StorageError, StoreUnavailableError
from ..records.markers import KEEP
from ..runtime.template import DriverBackend


class _Entry(NamedTuple):
    text: bytes
    expires_at: float | None


class MemoryBackend(DriverBackend):
    """A backend in memory.

    It keeps encoded text, so that values behave as on every other backend. What it holds survives
    `disconnect` followed by `connect` on the same instance.
    """

    _sweeps = True

    def __init__(self, *, timeout: float = 5.0, **settings: object) -> None:
        """Start empty; the settings are those of `DriverBackend`."""
        super().__init__(timeout=timeout, **settings)  # type: ignore[arg-type]
        self._entries_by_key: dict[str, _Entry] = {}
        self._sorted: list[str] = []
        self._deadlines: list[tuple[float, str]] = []  # a heap; some are void by now

    @property
    def capabilities(self) -> Capabilities:
        """Atomic for all who use it: nobody outside this process can."""
        return Capabilities(atomic="store", expiry="store", atomic_batches=True)

    async def _open(self) -> None:
        """Nothing to open."""

    async def _close(self) -> None:
        """Nothing to close."""

    def _abandon(self) -> None:
        """Nothing to leave behind: a forked child has its own copy."""

    async def _read(self, keys: list[str]) -> Sequence[bytes | None]:
        now = self._clock()
        return [entry.text if (entry := self._live(key, now)) else None for key in keys]

    async def _remaining(self, keys: list[str]) -> Sequence[int]:
        now = self._clock()
        return [_remaining_ms(self._live(key, now), now) for key in keys]

    async def _apply(self, commits: list[Commit]) -> Sequence[Outcome | Exception]:
        return [self._apply_one(commit, self._clock()) for commit in commits]

    async def _keys(self, span: KeyQuery) -> list[str]:
        return [key for key, _ in await self._select(span)]

    async def _entries(self, span: KeyQuery) -> list[tuple[str, bytes]]:
        return await self._select(span)

    async def _sweep(self, rows: int) -> int:
        now = self._clock()
        removed = 0
        while removed < rows and self._deadlines and self._deadlines[0][0] <= now:
            _, key = heapq.heappop(self._deadlines)
            entry = self._entries_by_key.get(key)
            if entry is not None and not _is_live(entry, now):
                self._remove(key)
                removed += 1
        return removed

    def _translate(self, what: str, key: str | None, error: BaseException) -> StorageError:
        return StoreUnavailableError(f"{what}: {error}", key=key)

    def _live(self, key: str, now: float) -> _Entry | None:
        entry = self._entries_by_key.get(key)
        return entry if entry is not None and _is_live(entry, now) else None

    def _apply_one(self, commit: Commit, now: float) -> Outcome:
        for key, text in commit.expectations:
            entry = self._live(key, now)
            if (None if entry is None else entry.text) != text:
                return Refused(key)
        return [self._write(write, now) for write in commit.writes]

    def _write(self, write: Write, now: float) -> bool:
        before = self._live(write.key, now)
        match write:
            case Put(key, text, ttl_ms):
                if ttl_ms is KEEP:
                    deadline = None if before is None else before.expires_at
                else:
                    deadline = _deadline(ttl_ms, now)
                self._store(key, _Entry(text, deadline))
            case Touch(key, ttl_ms) if before is not None:
                self._store(key, _Entry(before.text, _deadline(ttl_ms, now)))
            case Delete(key) if key in self._entries_by_key:
                self._remove(key)
        return before is not None or isinstance(write, Put)

    def _store(self, key: str, entry: _Entry) -> None:
        before = self._entries_by_key.get(key)
        if before is None:
            insort(self._sorted, key)
        self._entries_by_key[key] = entry
        if entry.expires_at is not None and (before is None or before.expires_at != entry.expires_at):
            heapq.heappush(self._deadlines, (entry.expires_at, key))
            if len(self._deadlines) > 1024 + 2 * len(self._entries_by_key):
                self._forget_old_deadlines()

    def _forget_old_deadlines(self) -> None:
        """Drop what later writes made void, so that writing one key again and again costs no memory."""
        entries = self._entries_by_key.items()
        self._deadlines = [(entry.expires_at, key) for key, entry in entries if entry.expires_at is not None]
        heapq.heapify(self._deadlines)

    def _remove(self, key: str) -> None:
        del self._entries_by_key[key]
        del self._sorted[bisect_left(self._sorted, key)]

    async def _select(self, span: KeyQuery) -> list[tuple[str, bytes]]:
        found: list[tuple[str, bytes]] = []
        pace = TimeSlice()
        for position, key in enumerate(self._range(span)):
            entry = self._live(key, self._clock())
            if entry is not None and (span.exact or span.glob.matches(key)):
                found.append((key, entry.text))
                if span.limit is not None and len(found) >= span.limit:
                    break
            if position % 256 == 255:
                await pace.checkpoint()
        return found

    def _range(self, span: KeyQuery) -> Iterator[str]:
        """The keys of the span's range, as they are now; a slice, so that writers do not disturb it."""
        find = bisect_right if span.after == span.start else bisect_left
        low = find(self._sorted, span.start)
        high = len(self._sorted) if span.stop is None else bisect_left(self._sorted, span.stop)
        return iter(self._sorted[low:high])


def _is_live(entry: _Entry, now: float) -> bool:
    return entry.expires_at is None or now < entry.expires_at


def _deadline(ttl_ms: int | None, now: float) -> float | None:
    return None if ttl_ms is None else now + ttl_ms / 1000


def _remaining_ms(entry: _Entry | None, now: float) -> int:
    if entry is None:
        return MISSING
    return NO_EXPIRY if entry.expires_at is None else math.ceil((entry.expires_at - now) * 1000)
