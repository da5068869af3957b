"""The rows of a listing decoded, without holding up other tasks."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from ..concurrency.timeslice import TimeSlice
from ..errors import CorruptValueError
from ..records.codec import decode
from ..records.filters import Condition, matches
from ..records.pages import OnCorrupt, report_corrupt

_STEP = 4_096  #: bytes of rows between two looks at the clock
_ROW = 64  #: bytes that a row counts beside its text


async def decode_all(
    rows: Iterable[tuple[str, bytes]], on_corrupt: OnCorrupt, where: tuple[Condition, ...] = (), cut: int = 0
) -> list[tuple[str, Any]]:
    """Return the rows that fulfil ``where`` with decoded values; see `OnCorrupt` for those that cannot be.

    They are without the first ``cut`` characters of their keys.
    """
    pace = TimeSlice()
    items: list[tuple[str, Any]] = []
    left = _STEP
    for key, text in rows:
        try:
            value = decode(text, key=key)
        except CorruptValueError as error:
            report_corrupt(error, on_corrupt)
            left = 0
        else:
            left -= len(text) + _ROW
            if not where or matches(value, where):  # what does not match is not kept: a listing may be large
                items.append((key[cut:] if cut else key, value))
        if left <= 0:
            left = _STEP
            if pace.is_due:
                await pace.checkpoint()
    return items
