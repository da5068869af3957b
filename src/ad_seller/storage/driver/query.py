"""What a listing asks an engine for."""

from __future__ import annotations

import logging
from typing import Final

from msgspec import Struct

from ..records.filters import Condition, fulfils
from ..records.globs import Glob, compile_glob, successor
from ..records.keys import decode_cursor
from ..records.pages import check_limit

log = logging.getLogger("ad_seller.storage")

#: What the log says of a search without an index.
_NO_INDEX: Final = "reading them all: no index that is declared fits"


class KeyQuery(Struct, frozen=True):
    """What a listing asks for: the keys that match ``glob`` and come after ``after``, at most ``limit``.

    With ``reverse`` the order is turned: the greatest key comes first, and smaller ones come after ``after``.

    A driver may leave out records that do not fulfil ``where``, but none whose text is no JSON: those must be
    reported. The caller checks what it gets again. With a ``limit`` the others must be left out: see `takes`.
    """

    glob: Glob
    after: str | None = None
    limit: int | None = None
    where: tuple[Condition, ...] = ()
    reverse: bool = False

    @property
    def start(self) -> str:
        """No key of the span is smaller; it is excluded itself if `is_after_start`."""
        if self.after is None or self.reverse:
            return self.glob.prefix
        return max(self.glob.prefix, self.after)

    @property
    def is_after_start(self) -> bool:
        """Whether `start` itself has been returned before."""
        return not self.reverse and self.after is not None and self.after >= self.glob.prefix

    @property
    def stop(self) -> str | None:
        """Every key of the span is smaller; None if there is no end. Keys hold no NUL."""
        end = f"{self.glob.prefix}\0" if self.glob.literal else successor(self.glob.prefix)
        if self.after is None or not self.reverse:
            return end
        return self.after if end is None else min(end, self.after)

    @property
    def exact(self) -> bool:
        """Whether every live key between `start` and `stop` belongs to the span."""
        return self.glob.regex is None

    def has(self, key: str) -> bool:
        """Tell whether ``key`` belongs to the span."""
        if self.after is not None and (key >= self.after if self.reverse else key <= self.after):
            return False
        return self.glob.matches(key)

    @property
    def counts_records(self) -> bool:
        """Whether an engine has to look into the texts: the limit is one of records that fulfil ``where``."""
        return bool(self.where) and self.limit is not None

    def takes(self, key: str, text: bytes) -> bool:
        """Tell whether an entry counts for the limit: its key belongs to the span, and it fulfils ``where``."""
        return self.has(key) and (not self.where or fulfils(key, text, self.where))

    def up_to(self, limit: int | None) -> KeyQuery:
        """Return the same with another limit."""
        return KeyQuery(self.glob, self.after, limit, self.where, self.reverse)

    def beyond(self, after: str | None) -> KeyQuery:
        """Return the same from another place on."""
        if after == self.after:
            return self
        return KeyQuery(self.glob, after, self.limit, self.where, self.reverse)

    @property
    def described(self) -> str:
        """What is looked for, without the values, which may be anybody's."""
        fields = ", ".join(".".join(path) for path, _ in self.where)
        return f"{self.glob.prefix}… with {fields}"


def scan_query(pattern: str, limit: int | None, cursor: str | None, *, reverse: bool) -> KeyQuery:
    """Return what a scan asks for; see `StorageBackend.scan`.

    Raises:
        InvalidArgumentError: the pattern or the limit is none.
        InvalidCursorError: the cursor did not come from a scan.
    """
    glob = compile_glob(pattern)
    check_limit(limit)
    after = None if cursor is None else decode_cursor(cursor)
    return KeyQuery(glob, after, limit, reverse=bool(reverse))


def say_how(query: KeyQuery, index: str | None) -> None:
    """Say in the log which index a search uses; None for none, so that all records are read."""
    if query.where:
        log.debug("Find %s by %s", query.described, _NO_INDEX if index is None else f"the index {index}")
