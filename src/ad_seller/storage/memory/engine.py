"""The engine of a store in memory: one event loop's way to entries that all loops share."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

from ..concurrency.timeslice import TimeSlice
from ..driver.commit import Commit, Outcome
from ..driver.engine import WOULD_BLOCK, Engine, Tell, WouldBlock
from ..driver.query import KeyQuery, say_how
from ..driver.transfer import StoredEntry
from ..errors import StorageError, StoreUnavailableError
from ..records.expiry import Clock
from .entries import Entries

_STEP = 256  #: keys of a listing between two looks at the clock
_AT_ONCE = 65_536  #: bytes that reads in a row give before the event loop has its turn
_READ = 1_024  #: what each of them counts for beside its text


class MemoryEngine(Engine):
    """Calls of one event loop on shared entries.

    Args:
        entries: what is stored.
        clock: seconds since the epoch.
    """

    sweeps: ClassVar[bool] = True
    transfers: ClassVar[bool] = True

    def __init__(self, entries: Entries, clock: Clock) -> None:
        """Keep both."""
        self._entries = entries
        self._clock = clock
        self._given = 0

    async def open(self) -> None:
        """Nothing to open."""

    async def close(self) -> None:
        """Nothing to close."""

    def abandon(self) -> None:
        """Nothing to leave behind: a forked child has its own copy."""

    async def hears(self, prefix: str) -> bool:
        """See `Engine.hears`: nobody outside this process can store anything here."""
        return True

    async def read(self, keys: list[str]) -> Sequence[bytes | None]:
        """See `Engine.read`."""
        return self._entries.read(keys, self._clock())

    def read_nowait(self, key: str) -> bytes | WouldBlock | None:
        """Read at once, but now and then: who does nothing but read must not hold up everybody else."""
        if self._given >= _AT_ONCE:
            self._given = 0
            return WOULD_BLOCK
        text = self._entries.read_one(key, self._clock())
        self._given += _READ + len(text or b"")  # what is given is decoded, too
        return text

    def read_in_thread(self, key: str) -> bytes | None:
        """See `Engine.read_in_thread`."""
        return self._entries.read_one(key, self._clock())

    async def remaining(self, keys: list[str]) -> Sequence[int]:
        """See `Engine.remaining`."""
        return self._entries.remaining(keys, self._clock())

    async def apply(self, commits: list[Commit]) -> Sequence[Outcome | Exception]:
        """See `Engine.apply`."""
        return self._entries.apply(commits, self._clock)

    def begin_apply(self, commits: list[Commit], tell: Tell[Outcome | Exception]) -> None:
        """See `Engine.begin_apply`; there is nothing to wait for."""
        tell(self._entries.apply(commits, self._clock), None)

    async def keys(self, query: KeyQuery) -> list[str]:
        """See `Engine.keys`."""
        return [key for key, _ in await self.entries(query)]

    async def entries(self, query: KeyQuery) -> list[tuple[str, bytes]]:
        """See `Engine.entries`; all of one moment, although others have their turn meanwhile."""
        say_how(query, None)
        now = self._clock()
        few = self._entries.first(query, now, _STEP)
        if few is not None:
            return few
        found: list[tuple[str, bytes]] = []
        pace = TimeSlice()
        with self._entries.view(query) as view:
            for first in range(0, len(view.keys), _STEP):
                keys = view.keys[first : first + _STEP]
                keys = keys if query.exact else [key for key in keys if query.glob.matches(key)]
                entries = self._entries.look_at(view, keys, now)
                found += [one for one in entries if query.takes(*one)] if query.counts_records else entries
                if query.limit is not None and len(found) >= query.limit:
                    break
                await pace.checkpoint()
        return found[: query.limit]

    async def page(self, prefix: str, after: str | None) -> list[StoredEntry]:
        """See `Engine.page`."""
        return self._entries.page(prefix, after, self._clock())

    async def entries_at(self, keys: Sequence[str]) -> list[StoredEntry]:
        """See `Engine.entries_at`."""
        return self._entries.stored_at(keys, self._clock())

    async def store(
        self, entries: Sequence[StoredEntry], expected: Sequence[bytes | None] | None
    ) -> Sequence[bool]:
        """See `Engine.store`."""
        return self._entries.store(entries, expected, self._clock())

    async def sweep(self, rows: int) -> int:
        """See `Engine.sweep`."""
        return self._entries.sweep(rows, self._clock())

    def sweeps_on(self, steps: int, removed: int) -> bool:
        """See `Engine.sweeps_on`."""
        return self._entries.is_due(self._clock())

    def explain(self, what: str, key: str | None, error: BaseException) -> StorageError:
        """See `Engine.explain`."""
        return StoreUnavailableError(f"{what}: {error}", key=key)
