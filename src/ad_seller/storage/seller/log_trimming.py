"""How a log loses its oldest entries: those who follow are told, and nothing is left that leads to none."""

from __future__ import annotations

from collections.abc import Callable
from math import isnan
from typing import Any, Final

from ..errors import CorruptValueError, InvalidArgumentError
from ..records.globs import escape
from ..records.markers import LEAVE
from .log_entries import LogForm, last_of
from .log_following import Span
from .stored import Stored

_AT_ONCE: Final = 500  #: entries that one step removes
_LATEST: Final = 1e11  #: seconds; later than each id, and a number that can be computed with


def _milliseconds(seconds: float) -> int:
    """Return a time since 1970 in milliseconds; one before that is 1970, whatever the number."""
    return round(max(0.0, min(seconds, _LATEST)) * 1000)


class Trimming:
    """The trimming of a log, see `Log.trim_up_to`; it holds nothing and may be made anew at each use."""

    def __init__(self, store: Stored, form: LogForm, span: Span, clock: Callable[[], float]) -> None:
        """Keep what the log has."""
        self._store = store
        self._form = form
        self._span = span
        self._clock = clock

    async def up_to(self, seconds: float) -> int:
        """Remove all entries made up to a time, in seconds since 1970; return how many.

        Raises:
            InvalidArgumentError: it is later than what followers look back to.
        """
        self.check(seconds)
        last, removed = self._form.prefix + last_of(_milliseconds(seconds)), 0
        cursor: str | None = None
        while True:
            page = await self._store.scan(
                f"{escape(self._form.prefix)}*", limit=_AT_ONCE, cursor=cursor, on_corrupt=_passed_over
            )
            cursor = page.cursor
            old = [(key, value) for key, value in page.items if key < last]
            if old:
                await self.tell(seconds)
                await self._remove(old)
                removed += len(old)
            if cursor is None or len(old) < len(page.items):
                return removed

    def check(self, seconds: float) -> None:
        """Raise `InvalidArgumentError` if a time is none, or later than what followers look back to."""
        if isnan(seconds):
            raise InvalidArgumentError("Trim up to a time in seconds since 1970; nan is none")
        if _milliseconds(seconds) > int(self._clock() * 1000) - self._span.milliseconds:
            raise InvalidArgumentError(
                f"Entries of the last {self._span.milliseconds / 1000:g} seconds may still be on their way to "
                "those who follow; trim up to an earlier time"
            )

    async def tell(self, seconds: float) -> None:
        """Let those know who follow from before a time that entries up to it may be gone; before these go."""
        until = _milliseconds(seconds)

        def later(known: Any) -> Any:  # never back, whoever else trims: what was left may be gone
            return LEAVE if type(known) is int and known >= until else until

        await self._store.update(self._form.trimmed_key, later)

    def marks(self, key: str, value: Any) -> list[str]:
        """Return the keys by which an entry is found by its fields."""
        return self._form.known_keys(key.removeprefix(self._form.prefix), value)[1:]

    async def _remove(self, entries: list[tuple[str, Any]]) -> None:
        """Remove the keys that lead to the entries, then these: a stop in between leaves none without its entry."""
        await self._store.delete_many([mark for key, value in entries for mark in self.marks(key, value)])
        await self._store.delete_many([key for key, _ in entries])


def _passed_over(error: CorruptValueError) -> None:
    """Leave an entry where it is that cannot be read: it is not known what leads to it."""
