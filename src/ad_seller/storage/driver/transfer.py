"""Entries on their way from one store to another: texts as they are stored, and absolute deadlines."""

from __future__ import annotations

import math
from collections.abc import Iterable
from itertools import repeat
from typing import Final, NamedTuple

#: Entries of one page, and about how many bytes of text: so a store of any size is read in little memory.
PAGE_ENTRIES: Final = 2_000
PAGE_BYTES: Final = 4 * 1024 * 1024

_LAST: Final = 2.0**53  #: milliseconds since the epoch; no time to live leads further


class StoredEntry(NamedTuple):
    """A live entry as it is stored.

    Attributes:
        key: its key.
        text: its value, as JSON text.
        deadline: when it expires, in milliseconds since the epoch by the store's clock; None for never.
    """

    key: str
    text: bytes
    deadline: int | None


def stored_entries(rows: Iterable[tuple[str, bytes, int | None]]) -> list[StoredEntry]:
    """Return keys, texts and deadlines as entries, in a third of the time that it takes to make each by itself."""
    return list(map(tuple.__new__, repeat(StoredEntry), rows))


def deadline_of(seconds: float) -> int | None:
    """Return epoch seconds in whole milliseconds, rounded up so that nothing expires early; None for never.

    A double that came from whole milliseconds gives those again: what lies below its precision is cut first. What
    some other program stored beyond every time that engines know, infinity, or no number, is never.
    """
    return math.ceil(round(seconds * 1000, 3)) if seconds * 1000 <= _LAST else None
