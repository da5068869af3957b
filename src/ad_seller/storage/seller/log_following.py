"""Following a log by looking, without missing what comes late.

An id is made before its entry is stored, and clocks differ. So a look goes back over the span in which an entry may
still appear, from the newest to the oldest: when a later entry of a process is seen, its earlier ones are stored
already and are met further back. What was given within the span is remembered. Before the span nothing can
appear any more; that part is read forwards, page by page, and nothing of it is remembered.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator, Callable, Iterable
from typing import Any, NamedTuple

from ..atomic.state import tally_of
from ..errors import InvalidCursorError, LogGapError, shown
from ..records.expiry import check_ttl
from ..records.globs import escape
from ..records.keys import encode_cursor
from ..records.pages import Page
from .log_entries import LogForm, is_id, last_of, milliseconds_of, packed, unpacked
from .looking import Looks
from .stored import Stored

_PAGE = 500


class LogEntry(NamedTuple):
    """An entry as `follow` gives it.

    Attributes:
        id: its id.
        value: what was appended.
        cursor: with it, `follow` goes on after this entry.
    """

    id: str
    value: Any
    cursor: str


class Span(NamedTuple):
    """How far back an entry may still appear.

    Attributes:
        commit_ms: how long an append may take, in milliseconds.
        clock_ms: how much clocks may differ, in milliseconds.
    """

    commit_ms: int
    clock_ms: int

    @classmethod
    def of(cls, commit_seconds: Any, clock_seconds: Any) -> Span:
        """Return the span for two positive numbers of seconds."""
        return cls(check_ttl(commit_seconds) or 0, check_ttl(clock_seconds) or 0)

    @property
    def milliseconds(self) -> int:
        """Both together."""
        return self.commit_ms + self.clock_ms


class Follower:
    """One reader of a log, see `Log.follow`."""

    def __init__(
        self,
        store: Stored,
        form: LogForm,
        retention_ms: int | None,
        span: Span,
        clock: Callable[[], float],
        pause: Callable[[float], Any] | None = None,
    ) -> None:
        """Look at nothing yet."""
        self._store = store
        self._form = form
        self._retention_ms = retention_ms
        self._span = span
        self._clock = clock
        self._pause = pause
        self._settled = -1  # milliseconds: every entry made until then was given
        self._passed = ""  # the id of an entry made after that: it was given, and all smaller ones
        self._given: set[str] = set()  # what was given of those made later
        self._at: int | None = None  # milliseconds: when the entry was made that is given now

    @property
    def lag(self) -> float:
        """Seconds since the making of the entry that is given now; 0 if all were given."""
        at = self._at
        return 0.0 if at is None else max(0, self._now() - at) / 1000

    async def entries(self, since: str | None) -> AsyncGenerator[LogEntry, None]:
        """Yield the entries after ``since``, then those that come."""
        if since is not None:
            self._settled, self._passed = self._place_of(since)
            await self._refuse_gap()
        tally_of(self._store).follows(self)
        with Looks(self._store, self._form.prefix, self._pause) as looks:
            while True:
                settling = self._now() - self._span.milliseconds
                found = False
                async for entry in self._look(settling):
                    found = True
                    self._at = milliseconds_of(entry.id)
                    yield entry
                self._at = None
                self._settle(settling)
                await looks.rest(found=found)

    async def _look(self, settling: int) -> AsyncIterator[LogEntry]:
        if self._settled < settling - self._span.milliseconds:  # far behind
            if self._settled >= 0:
                await self._refuse_gap()
            async for entry in self._old(settling):
                yield entry
        for entry_id, value in reversed(await self._recent()):
            if self._is_new(entry_id):
                complete = milliseconds_of(entry_id) <= settling
                cursor = self._cursor_after(entry_id) if complete else self.cursor_at(max(self._settled, settling))
                yield LogEntry(entry_id, value, cursor)

    def _is_new(self, entry_id: str) -> bool:
        """Tell whether the entry was not given yet; now it is."""
        is_new = entry_id > self._passed and entry_id not in self._given
        self._given.add(entry_id)
        return is_new

    async def _old(self, settling: int) -> AsyncIterator[LogEntry]:
        """Yield what was made before ``settling``: it is complete."""
        cursor: str | None = encode_cursor(self._form.prefix + last_of(self._settled))
        while cursor is not None:
            page = await self._scan(cursor, reverse=False)
            cursor = page.cursor
            made = self._settled
            for entry_id, value in self._of_log(page.items):
                made = milliseconds_of(entry_id)
                if made > settling:
                    return
                if self._is_new(entry_id):
                    yield LogEntry(entry_id, value, self._cursor_after(entry_id))
            self._settle(made - 1)

    async def _recent(self) -> list[tuple[str, Any]]:
        """Return what was made after all that is settled, the newest first."""
        last = last_of(self._settled)
        found: list[tuple[str, Any]] = []
        cursor: str | None = None
        while True:
            page = await self._scan(cursor, reverse=True)
            for entry_id, value in self._of_log(page.items):
                if entry_id <= last:
                    return found
                found.append((entry_id, value))
            cursor = page.cursor
            if cursor is None:
                return found

    async def _scan(self, cursor: str | None, *, reverse: bool) -> Page:
        return await self._store.scan(f"{escape(self._form.prefix)}*", limit=_PAGE, cursor=cursor, reverse=reverse)

    def _of_log(self, items: Iterable[tuple[str, Any]]) -> list[tuple[str, Any]]:
        """Return id and value of the entries; keys that are no entry's are somebody else's."""
        named = ((key.removeprefix(self._form.prefix), value) for key, value in items)
        return [(entry_id, value) for entry_id, value in named if is_id(entry_id)]

    def _settle(self, milliseconds: int) -> None:
        if milliseconds > self._settled:
            self._settled = milliseconds
            last = last_of(milliseconds)
            self._given = {entry_id for entry_id in self._given if entry_id > last}

    def _now(self) -> int:
        return int(self._clock() * 1000)

    # --- cursors ---------------------------------------------------------------------------------------

    def cursor_at(self, settled: int) -> str:
        """Return the cursor of a reader that has had everything made until ``settled``."""
        return packed(self._form.name, settled)

    def _cursor_after(self, entry_id: str) -> str:
        """Return the cursor of a reader that has had this entry and all smaller ones, all of which there are."""
        return packed(self._form.name, milliseconds_of(entry_id) - 1, entry_id)

    def _place_of(self, cursor: object) -> tuple[int, str]:
        try:
            name, settled, *rest = unpacked(cursor)
            [passed] = rest or [""]
            if name != self._form.name or type(settled) is not int or not (passed == "" or is_id(passed)):
                raise ValueError("of another log")
        except (TypeError, ValueError) as error:
            raise InvalidCursorError(
                f"Not a cursor of following the log {self._form.name!r}: {shown(cursor)}. Take it from an entry "
                "that follow() gave, or from now()."
            ) from error
        return settled, passed

    async def _refuse_gap(self) -> None:
        """Raise `LogGapError` if entries that were not given yet may be gone."""
        kept = await self._store.get(self._form.trimmed_key)
        oldest = kept if type(kept) is int else -1
        if self._retention_ms is not None:
            oldest = max(oldest, self._now() - self._retention_ms)
        if self._settled < oldest:
            raise LogGapError(
                f"The log {self._form.name!r} keeps what was made since {oldest} (milliseconds since 1970), and "
                f"the cursor is of {self._settled}: entries in between may have been removed unseen. To go on with "
                "what is left, follow with the cursor of this error.",
                cursor=self.cursor_at(oldest + self._span.milliseconds),  # what ends until it is used is no loss
            )
