"""Logs without await."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

from ad_seller.storage import TTL, Log, LogEntry, OnCorrupt, Page, Taken, TransactionLog

from .handover import reported

Run = Callable[..., Any]  #: runs an async function in the event loop and returns what it returns


class SyncTransactionLog:
    """A log as a transaction without await has it."""

    def __init__(self, inner: TransactionLog, run: Run) -> None:
        """Keep both."""
        self._inner = inner
        self._do = run

    def append(self, value: Any) -> str:
        """Store ``value`` as the log's newest entry at the end of the transaction and return its id."""
        return str(self._do(self._inner.append, value))


class SyncLog:
    """A `Log` whose methods block."""

    def __init__(self, inner: Log, run: Run) -> None:
        """Keep both."""
        self._inner = inner
        self._do = run

    @property
    def name(self) -> str:
        """The name of the log."""
        return self._inner.name

    def append(self, value: Any) -> str:
        """Store ``value`` as the newest entry and return its id; ids sort by the time of their making."""
        return str(self._do(self._inner.append, value))

    def get(self, entry_id: str) -> Any | None:
        """Return the entry with this id, or None."""
        return self._do(self._inner.get, entry_id)

    def read(
        self,
        where: Mapping[str, Any] | None = None,
        *,
        newest: bool = False,
        limit: int | None = None,
        cursor: str | None = None,
        on_corrupt: OnCorrupt = None,
        **fields: Any,
    ) -> Page:
        """Return a page of the entries, as pairs of id and value."""
        with reported(on_corrupt) as report:
            page: Page = self._do(
                self._inner.read, where, newest=newest, limit=limit, cursor=cursor, on_corrupt=report, **fields
            )
        return page

    def trim(self, older_than: TTL) -> int:
        """Remove all entries made more than ``older_than`` seconds ago, the oldest first; return how many."""
        return int(self._do(self._inner.trim, older_than))

    def trim_up_to(self, seconds: float) -> int:
        """Remove all entries made up to a time, in seconds since 1970; return how many."""
        return int(self._do(self._inner.trim_up_to, seconds))

    def take_in(self, pattern: str, *, at: str, records: str | None = None, on_corrupt: OnCorrupt = None) -> Taken:
        """Copy what an agent kept under keys and in lists of its own into this log, in the order of its time."""
        with reported(on_corrupt) as report:
            taken: Taken = self._do(self._inner.take_in, pattern, at=at, records=records, on_corrupt=report)
        return taken

    def now(self) -> str:
        """Return the cursor with which `follow` gives what is appended from now on, and the last few seconds'."""
        return self._inner.now()

    def follow(
        self, since: str | None = None, where: Mapping[str, Any] | None = None, **fields: Any
    ) -> Iterator[LogEntry]:
        """Yield what stands in the log and what comes, each entry at least once, for as long as it is asked."""
        entries = self._inner.follow(since, where, **fields)
        try:
            while True:
                entry: LogEntry = self._do(anext, entries)
                yield entry
        finally:
            self._do(entries.aclose)
