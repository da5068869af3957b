"""Times that stand in records of agents."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any, Final

_FIRST: Final = 631_152_000.0  #: 1990: what stands for an earlier time is something else
_LAST: Final = 32_503_680_000.0  #: 3000: what stands for a later one, such as milliseconds, too


def seconds_of(value: Any) -> float | None:
    """Return a time in seconds since 1970, or None where the value is none.

    ISO 8601 text, without a zone in UTC, or seconds since 1970. What is before 1990 or after 3000 is none: a 0 or
    a count that stands there must not make something the oldest of all, nor milliseconds the newest.
    """
    try:
        seconds = _seconds_in(value)
    except (TypeError, ValueError, OverflowError):
        return None
    return seconds if _FIRST <= seconds < _LAST else None


def _seconds_in(value: Any) -> float:
    if isinstance(value, int | float) and not isinstance(value, bool):
        return float(value)
    moment = datetime.fromisoformat(value)
    return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()
