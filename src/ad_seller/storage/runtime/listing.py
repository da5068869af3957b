"""The rows of a listing decoded, without holding up other tasks."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from ..concurrency.timeslice import TimeSlice
from ..errors import CorruptValueError
from ..records.codec import decode
from ..records.filters import Condition, matches
from ..records.pages import OnCorrupt, report_corrupt

_STEP = 8  #: rows between two looks at the clock, which costs a tenth of decoding one


async def decode_all(
    rows: Sequence[tuple[str, bytes]], on_corrupt: OnCorrupt, where: tuple[Condition, ...] = (), cut: int = 0
) -> list[tuple[str, Any]]:
    """Return the rows that fulfil ``where`` with decoded values; see `OnCorrupt` for those that cannot be.

    They are without the first ``cut`` characters of their keys.
    """
    pace = TimeSlice()
    items: list[tuple[str, Any]] = []
    for first in range(0, len(rows), _STEP):
        step = rows[first : first + _STEP]
        try:
            found = [(key, decode(text, key=key)) for key, text in step]
        except CorruptValueError:
            found = list(_readable(step, on_corrupt))
        if where:  # what does not match is not kept: a listing may be large
            found = [(key, value) for key, value in found if matches(value, where)]
        items += [(key[cut:], value) for key, value in found] if cut else found
        if pace.is_due:
            await pace.checkpoint()
    return items


def _readable(rows: Sequence[tuple[str, bytes]], on_corrupt: OnCorrupt) -> Iterator[tuple[str, Any]]:
    for key, text in rows:
        try:
            yield key, decode(text, key=key)
        except CorruptValueError as error:
            report_corrupt(error, on_corrupt)
