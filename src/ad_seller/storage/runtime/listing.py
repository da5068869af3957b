"""The rows of a listing decoded, without holding up other tasks."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from ..concurrency.timeslice import TimeSlice
from ..errors import CorruptValueError
from ..records.codec import decode
from ..records.pages import OnCorrupt, report_corrupt


async def decode_all(rows: Iterable[tuple[str, bytes]], on_corrupt: OnCorrupt) -> list[tuple[str, Any]]:
    """Return the rows with decoded values; see `OnCorrupt` for those that cannot be."""
    pace = TimeSlice()
    items: list[tuple[str, Any]] = []
    for key, text in rows:
        try:
            items.append((key, decode(text, key=key)))
        except CorruptValueError as error:
            report_corrupt(error, on_corrupt)
        if pace.is_due:
            await pace.checkpoint()
    return items
