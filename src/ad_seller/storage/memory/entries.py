"""The entries of a store in memory, which any number of event loops and threads share."""

from __future__ import annotations

import heapq
import math
from bisect import bisect_left, bisect_right, insort
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from itertools import islice
from typing import NamedTuple

from ..concurrency.forks import fork_safe_lock
from ..driver.commit import Commit, Delete, Outcome, Put, Refused, Touch, Write
from ..driver.engine import MISSING, NO_EXPIRY
from ..driver.query import KeyQuery
from ..driver.transfer import PAGE_BYTES, PAGE_ENTRIES, StoredEntry, deadline_of
from ..records.expiry import Clock
from ..records.markers import KEEP

#: Deadlines are filed by this part of a second, which a double holds exactly: so an entry whose deadline changes
#: moves in constant time, and nothing void is ever left behind.
_SLOTS_PER_SECOND = 64


class Entry(NamedTuple):
    """A text and when it ends, in epoch seconds."""

    text: bytes
    expires_at: float | None


class View:
    """The keys of a listing, and what has been changed of the store since it began."""

    __slots__ = ("before", "keys")

    def __init__(self, keys: list[str]) -> None:
        """Begin with nothing changed."""
        self.keys = keys
        self.before: dict[str, Entry | None] = {}


class Entries:
    """Encoded entries by key, sorted, with their deadlines. Each method takes effect at one moment."""

    def __init__(self) -> None:
        """Start empty."""
        self._lock = fork_safe_lock()
        self._by_key: dict[str, Entry] = {}
        self._sorted: list[str] = []
        self._due: dict[int, set[str]] = {}
        self._slots: list[int] = []  # a heap of the keys of `_due`
        self._views: list[View] = []

    def read(self, keys: list[str], now: float) -> Sequence[bytes | None]:
        """Return the live texts."""
        with self._lock:
            return [entry.text if (entry := self._live(key, now)) else None for key in keys]

    def read_one(self, key: str, now: float) -> bytes | None:
        """Return the live text under one key."""
        with self._lock:
            entry = self._live(key, now)
        return entry.text if entry else None

    def remaining(self, keys: list[str], now: float) -> Sequence[int]:
        """Return the milliseconds that each entry has left."""
        with self._lock:
            return [_remaining_ms(self._live(key, now), now) for key in keys]

    def apply(self, commits: list[Commit], clock: Clock) -> list[Outcome | Exception]:
        """Apply each commit, all or nothing."""
        with self._lock:
            now = clock()
            return [self._apply_one(commit, now) for commit in commits]

    def page(self, prefix: str, after: str | None, now: float) -> list[StoredEntry]:
        """Return the entries of one page of those whose keys begin with ``prefix`` and come after ``after``."""
        found: list[StoredEntry] = []
        size = 0
        with self._lock:
            first = bisect_left(self._sorted, prefix) if after is None else bisect_right(self._sorted, after)
            for place in range(first, len(self._sorted)):
                key = self._sorted[place]
                if not key.startswith(prefix) or size >= PAGE_BYTES or len(found) == PAGE_ENTRIES:
                    break
                if (entry := self._live(key, now)) is not None:
                    found.append(_stored(key, entry))
                    size += len(entry.text)
        return found

    def stored_at(self, keys: Sequence[str], now: float) -> list[StoredEntry]:
        """Return the entries under ``keys``, in their order."""
        with self._lock:
            return [_stored(key, entry) for key in keys if (entry := self._live(key, now)) is not None]

    def store(
        self, entries: Sequence[StoredEntry], expected: Sequence[bytes | None] | None, now: float
    ) -> list[bool]:
        """Store entries with their deadlines; see `Engine.store`."""
        stored: list[bool] = []
        with self._lock:
            for place, (key, text, deadline) in enumerate(entries):
                there = None if expected is None else self._live(key, now)
                fits = there is None or (expected is not None and there.text == expected[place])
                if fits:
                    self._store(key, Entry(text, None if deadline is None else deadline / 1000))
                stored.append(fits)
        return stored

    def sweep(self, rows: int, now: float) -> int:
        """Look at no more than ``rows`` deadlines that have come; return how many expired entries were removed."""
        with self._lock:
            gone: list[str] = []
            looked = 0
            while looked < rows and self._is_due(now):
                due = self._due[self._slots[0]]
                expired = list(islice(due, rows - looked))
                for key in expired:
                    self._forget(key)
                gone += expired
                looked += max(1, len(expired))  # a slot that is void costs, too
                if not due:
                    del self._due[heapq.heappop(self._slots)]
            self._sorted = _without(self._sorted, gone)
            return len(gone)

    def is_due(self, now: float) -> bool:
        """Tell whether `sweep` has something to look at."""
        with self._lock:
            return self._is_due(now)

    def first(self, query: KeyQuery, now: float, most: int) -> list[tuple[str, bytes]] | None:
        """Return what is asked for, if that takes no more than ``most`` looks, in order; else None."""
        if query.reverse or query.counts_records or not query.exact:
            return None
        find = bisect_right if query.is_after_start else bisect_left
        stop, limit = query.stop, query.limit
        found: list[tuple[str, bytes]] = []
        with self._lock:
            low = find(self._sorted, query.start)
            keys = self._sorted[low : low + most]
            for key in keys:
                if len(found) == limit or (stop is not None and key >= stop):
                    return found
                if (entry := self._live(key, now)) is not None:
                    found.append((key, entry.text))
            return found if len(keys) < most or len(found) == limit else None

    @contextmanager
    def view(self, query: KeyQuery) -> Iterator[View]:
        """Yield the keys of the query's range; `look_at` reads them as they are at this moment, however late."""
        find = bisect_right if query.is_after_start else bisect_left
        with self._lock:
            low = find(self._sorted, query.start)
            high = len(self._sorted) if query.stop is None else bisect_left(self._sorted, query.stop)
            keys = self._sorted[low:high]
            view = View(keys[::-1] if query.reverse else keys)
            self._views.append(view)
        try:
            yield view
        finally:
            with self._lock:
                self._views.remove(view)

    def look_at(self, view: View, keys: list[str], now: float) -> list[tuple[str, bytes]]:
        """Return those of the keys that lived at ``now``, with their texts, as they were when the view began."""
        with self._lock:
            found = [(key, view.before[key] if key in view.before else self._by_key.get(key)) for key in keys]
        return [(key, entry.text) for key, entry in found if entry is not None and _is_live(entry, now)]

    # --- under the lock --------------------------------------------------------------------------------

    def _live(self, key: str, now: float) -> Entry | None:
        entry = self._by_key.get(key)
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
                self._store(key, Entry(text, deadline))
            case Touch(key, ttl_ms) if before is not None:
                self._store(key, Entry(before.text, _deadline(ttl_ms, now)))
            case Delete(key) if key in self._by_key:
                self._remove(key)
        return before is not None or isinstance(write, Put)

    def _store(self, key: str, entry: Entry) -> None:
        before = self._by_key.get(key)
        if self._views:
            self._remember(key, before)
        if before is None:
            insort(self._sorted, key)
        self._by_key[key] = entry
        deadline = None if before is None else before.expires_at
        if deadline != entry.expires_at:
            self._unfile(key, deadline)
            self._file(key, entry.expires_at)

    def _remove(self, key: str) -> None:
        self._forget(key)
        del self._sorted[bisect_left(self._sorted, key)]

    def _forget(self, key: str) -> None:
        """Remove an entry from everything but the sorted names."""
        entry = self._by_key.pop(key)
        self._remember(key, entry)
        self._unfile(key, entry.expires_at)

    def _is_due(self, now: float) -> bool:
        return bool(self._slots) and self._slots[0] <= now * _SLOTS_PER_SECOND

    def _remember(self, key: str, before: Entry | None) -> None:
        for view in self._views:
            view.before.setdefault(key, before)

    def _file(self, key: str, deadline: float | None) -> None:
        if deadline is None:
            return
        slot = _slot(deadline)
        if slot not in self._due:
            self._due[slot] = set()
            heapq.heappush(self._slots, slot)
        self._due[slot].add(key)

    def _unfile(self, key: str, deadline: float | None) -> None:
        if deadline is not None:
            self._due[_slot(deadline)].discard(key)  # an empty slot goes when its time comes


def _without(names: list[str], gone: list[str]) -> list[str]:
    """Return sorted names without some of them, in one pass: removing each by itself moves all that follow it."""
    kept: list[str] = []
    start = 0
    for place in sorted(bisect_left(names, name) for name in gone):
        kept += names[start:place]
        start = place + 1
    return kept + names[start:] if gone else names


def _slot(deadline: float) -> int:
    return math.ceil(deadline * _SLOTS_PER_SECOND)


def _is_live(entry: Entry, now: float) -> bool:
    return entry.expires_at is None or now < entry.expires_at


def _deadline(ttl_ms: int | None, now: float) -> float | None:
    return None if ttl_ms is None else now + ttl_ms / 1000


def _remaining_ms(entry: Entry | None, now: float) -> int:
    if entry is None:
        return MISSING
    return NO_EXPIRY if entry.expires_at is None else math.ceil((entry.expires_at - now) * 1000)


def _stored(key: str, entry: Entry) -> StoredEntry:
    return StoredEntry(key, entry.text, None if entry.expires_at is None else deadline_of(entry.expires_at))
