"""Logs: entries that are only appended, then read from either end, found by a field, or followed.

An entry is one key, and one small key for each field that the log is read by; no list is rewritten. The ids are
those of `new_id`, so the order of the keys is the order of making.
"""

from __future__ import annotations

import time
from collections.abc import AsyncGenerator, Callable, Mapping
from contextlib import aclosing
from typing import Any

from ..driver.commit import Commit, Put
from ..errors import CrossStoreError, InvalidArgumentError, InvalidKeyError, shown
from ..records.expiry import TTL, check_ttl
from ..records.globs import escape
from ..records.ids import new_id
from ..records.keys import check_key
from ..records.pages import OnCorrupt, Page, check_limit
from .log_entries import FIELD_MARK, LogForm, fits, packed
from .log_following import Follower, LogEntry, Span
from .log_taking import Taken, take_in
from .log_trimming import Trimming
from .stored import Stored

_AT_ONCE = 500  #: entries that one step reads or removes


class Log:
    """A log of a backend, see `StorageBackend.log`; it holds nothing and may be made anew at each use."""

    def __init__(
        self,
        store: Stored,
        form: LogForm,
        retention_ms: int | None,
        span: Span,
        clock: Callable[[], float] = time.time,
    ) -> None:
        """Keep what `StorageBackend.log` has checked; ``clock`` returns seconds since 1970."""
        self._store = store
        self._form = form
        self._retention_ms = retention_ms
        self._span = span
        self._clock = clock

    @property
    def name(self) -> str:
        """The name of the log."""
        return self._form.name

    # --- writing ---------------------------------------------------------------------------------------

    async def append(self, value: Any) -> str:
        """Store ``value`` as the newest entry and return its id; ids sort by the time of their making.

        Raises:
            InvalidValueError: JSON cannot carry the value, or a field that the log is read by is missing or
                holds a dict or a list; nothing was written.
            UnknownOutcomeError: the connection was lost after sending.
        """
        entry_id = new_id()
        await self._store_entry(entry_id, value)
        return entry_id

    async def _store_entry(self, entry_id: str, value: Any) -> None:
        key, *marks = self._form.keys_of(entry_id, value)
        entry = Put(key, self._store._atomic_encode(value, key), self._retention_ms)
        puts = [Put(mark, str(FIELD_MARK).encode(), self._retention_ms) for mark in marks]
        try:
            await self._store._atomic_commit(Commit((), (*puts, entry)))
        except CrossStoreError:  # the slots of a cluster: a key of a field that leads to nothing yet harms nobody
            for put in (*puts, entry):
                await self._store._atomic_commit(Commit((), (put,)))

    async def trim(self, older_than: TTL) -> int:
        """Remove all entries made more than ``older_than`` seconds ago, the oldest first; return how many.

        A follower that comes with an older cursor afterwards is told. Run it in one process at a time, for instance
        under a `lease`; it may be stopped at any moment and run again.

        Raises:
            InvalidArgumentError: it is shorter than what followers look back.
        """
        age_ms = check_ttl(older_than)
        if age_ms is None or age_ms < self._span.milliseconds:
            raise InvalidArgumentError(
                f"Entries of the last {self._span.milliseconds / 1000:g} seconds may still be on their way to "
                f"those who follow; trim what is older, not {shown(older_than)}"
            )
        return await self.trim_up_to((int(self._clock() * 1000) - age_ms) / 1000)

    async def trim_up_to(self, seconds: float) -> int:
        """Remove all entries made up to a time, in seconds since 1970; see `trim`.

        Raises:
            InvalidArgumentError: it is later than what followers look back to.
        """
        return await self._trimming().up_to(seconds)

    def _trimming(self) -> Trimming:
        return Trimming(self._store, self._form, self._span, self._clock)

    async def take_in(
        self, pattern: str, *, at: str, records: str | None = None, on_corrupt: OnCorrupt = None
    ) -> Taken:
        """Copy what an agent kept under keys and in lists of its own into this log, in the order of its time.

        It changes nothing that is there, and may run again: what was taken in before is not taken in twice.

        Args:
            pattern: a glob of the keys. A value that is a list stands for its members, which are entries, or ids
                of entries if ``records`` is given; any other value is one entry.
            at: the field (or path with dots) of an entry that holds its time: ISO 8601 text, or seconds since
                1970. An entry with a time before 1990 or after 3000 there, such as 0, is left out.
            records: with what the keys of the entries begin whose ids the lists hold, e.g. ``event:``.
            on_corrupt: called with the error of each entry that cannot be decoded, which is then left out.

        Returns:
            How many entries were taken in, how many were in the log already, and what was left out, with why.

        Raises:
            CorruptValueError: a value is not JSON, and ``on_corrupt`` is None.
        """
        return await take_in(self._store, self._form, self._store_entry, pattern, at, records, on_corrupt)

    # --- reading ---------------------------------------------------------------------------------------

    async def get(self, entry_id: str) -> Any | None:
        """Return the entry with this id, or None."""
        if not isinstance(entry_id, str) or not entry_id:
            raise InvalidKeyError(f"The id of an entry is a non-empty str, not {shown(entry_id)}")
        return await self._store.get(check_key(self._form.prefix + entry_id))

    async def read(
        self,
        where: Mapping[str, Any] | None = None,
        *,
        newest: bool = False,
        limit: int | None = None,
        cursor: str | None = None,
        on_corrupt: OnCorrupt = None,
        **fields: Any,
    ) -> Page:
        """Return a page of the entries, as pairs of id and value.

        ``await log.read(session_id="s1", newest=True, limit=50)``. It costs what the first of the fields finds.

        Args:
            where: what the entries hold, by field; for fields whose names are no Python names.
            newest: begin with the newest and go back; otherwise begin with the oldest.
            limit: at most so many entries; None for all.
            cursor: where the page before ended; None for the start.
            on_corrupt: called with the error of each entry that cannot be decoded, which is then left out.
            **fields: what the entries hold, by field; each is declared by ``by=``.

        Raises:
            InvalidArgumentError: a field that is not declared, or a value that no entry is found by.
            InvalidCursorError: the cursor is of another log or other fields.
            CorruptValueError: a value is not JSON, and ``on_corrupt`` is None.
        """
        conditions = self._form.conditions(where, fields)
        check_limit(limit)
        if not conditions:
            return await self._read_all(newest, limit, cursor, on_corrupt)
        field, condition = conditions[0]
        prefix = self._form.field_prefix(field, condition.value)
        cursor = self._form.inner(cursor, prefix)
        found: list[tuple[str, Any]] = []
        while True:
            wanted = None if limit is None else limit - len(found)
            marks = await self._store.scan(f"{escape(prefix)}*", limit=wanted, cursor=cursor, reverse=newest)
            ids = [key.removeprefix(prefix) for key, _ in marks.items]
            entries = await self._entries(ids, on_corrupt)
            found += [(entry_id, value) for entry_id, value in entries if fits(value, conditions)]
            cursor = marks.cursor
            if cursor is None or len(found) == limit:
                return Page(found, cursor and packed(prefix, cursor))

    async def _read_all(self, newest: bool, limit: int | None, cursor: str | None, on_corrupt: OnCorrupt) -> Page:
        prefix = self._form.prefix
        cursor = self._form.inner(cursor, prefix)
        page = await self._store.scan(
            f"{escape(prefix)}*", limit=limit, cursor=cursor, reverse=newest, on_corrupt=on_corrupt
        )
        items = [(key.removeprefix(prefix), value) for key, value in page.items]
        return Page(items, page.cursor and packed(prefix, page.cursor))

    async def _entries(self, ids: list[str], on_corrupt: OnCorrupt) -> list[tuple[str, Any]]:
        prefix = self._form.prefix
        found: list[tuple[str, Any]] = []
        for start in range(0, len(ids), _AT_ONCE):
            keys = [prefix + one for one in ids[start : start + _AT_ONCE]]
            values = await self._store.get_many(keys, on_corrupt=on_corrupt)
            found += [(key.removeprefix(prefix), value) for key, value in values.items()]
        return found

    # --- following -------------------------------------------------------------------------------------

    def now(self) -> str:
        """Return the cursor with which `follow` gives what is appended from now on, and the last few seconds'."""
        return self._follower().cursor_at(int(self._clock() * 1000) - self._span.milliseconds)

    async def follow(
        self, since: str | None = None, where: Mapping[str, Any] | None = None, **fields: Any
    ) -> AsyncGenerator[LogEntry, None]:
        """Yield what stands in the log and what comes, each entry at least once, for as long as it is asked.

        ``async for entry in log.follow(since=cursor): ...; cursor = entry.cursor``. What one task appends comes in
        the order of its appending, each entry once in one loop over `follow`. Started again with the cursor of an
        entry, it goes on after it; of what was made in the ``commit_seconds`` and ``clock_seconds`` before, some
        may come again, as others may have come late; their ids tell. What others append wakes it on Redis and
        PostgreSQL; it looks every 5 seconds all the same. Elsewhere it looks once a second, and what this process
        appends wakes it.

        Args:
            since: the cursor of an entry that was given, or of `now`; None for everything that is there.
            where: what the entries hold, by field; for fields whose names are no Python names.
            **fields: what the entries hold, by field; each is declared by ``by=``.

        Raises:
            LogGapError: entries after ``since`` may have been removed already; its ``cursor`` is where to go on.
            InvalidCursorError: ``since`` is of another log, or no cursor.
            CorruptValueError: an entry is not JSON.
        """
        conditions = self._form.conditions(where, fields)
        async with aclosing(self._follower().entries(since)) as entries:
            async for entry in entries:
                if fits(entry.value, conditions):
                    yield entry

    def _follower(self) -> Follower:
        return Follower(self._store, self._form, self._retention_ms, self._span, self._clock)
