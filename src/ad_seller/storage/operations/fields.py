"""Places in records, times that stand there, and periods, as rules write them."""

from __future__ import annotations

import re
import sys
from collections.abc import Callable, Iterable
from datetime import UTC, datetime
from typing import Any, Final, TypeGuard

from ..errors import InvalidArgumentError, shown
from ..records.times import seconds_of

_UNITS: Final = {"s": 1, "min": 60, "h": 3_600, "d": 86_400, "w": 604_800, "y": 31_536_000}
_PERIOD: Final = re.compile(r"(\d+(?:\.\d+)?)\s*(s|min|h|d|w|y)")

Place = tuple[str, ...]


def place_of(text: object, what: str) -> Place:
    """Return a place in a record, which is written with dots: ``audit_log.transitions.-1.timestamp``.

    Args:
        text: names of members; -1 is the last element of a list, * each of them.
        what: what the place is for, for the error.

    Raises:
        InvalidArgumentError: it is something else.
    """
    parts = tuple(text.split(".")) if isinstance(text, str) else ()
    if not parts or not all(parts):
        raise InvalidArgumentError(f"{what} is a field, or a path with dots, not {shown(text)}")
    return parts


def first_refused(parts: Iterable[tuple[str, object, Callable[[], object]]]) -> str | None:
    """Return which part of a rule a check refuses, and why; None where none does.

    Args:
        parts: name, value and check of each.
    """
    for name, value, check in parts:
        try:
            check()
        except InvalidArgumentError as error:
            return f"has {name}={shown(value)}: {error}"
    return None


def values_at(record: Any, place: Place) -> list[Any]:
    """Return what stands at a place; several things where it has a ``*``, none where nothing does."""
    found = [record]
    for part in place:
        found = [inner for one in found for inner in _inside(one, part)]
    return found


def _inside(value: Any, part: str) -> list[Any]:
    if isinstance(value, dict):
        return [value[part]] if part in value else []
    if isinstance(value, list):
        return list(value) if part == "*" else value[-1:] if part == "-1" else []
    return []


def replaced_at(record: Any, place: Place, change: Callable[[Any], Any]) -> Any:
    """Return a copy of the record in which what stands at a place is what ``change`` makes of it."""
    if not place:
        return change(record)
    part, rest = place[0], place[1:]
    if isinstance(record, dict) and part in record:
        return {**record, part: replaced_at(record[part], rest, change)}
    if isinstance(record, list) and part == "*":
        return [replaced_at(one, rest, change) for one in record]
    if isinstance(record, list) and part == "-1" and record:
        return [*record[:-1], replaced_at(record[-1], rest, change)]
    return record


def seconds_at(record: Any, place: Place) -> float | None:
    """Return the time that stands at a place, in seconds since 1970, or None; see `seconds_of`."""
    found = values_at(record, place)
    return seconds_of(found[0]) if len(found) == 1 else None


def is_period(value: object) -> TypeGuard[float]:
    """Tell whether something is a number of seconds that a period can have."""
    return isinstance(value, int | float) and not isinstance(value, bool) and 0 <= value <= sys.float_info.max


def period_of(value: object, what: str) -> float:
    """Return a period in seconds, from a number of them, or text such as ``30d``, ``12h``, ``90min``.

    Raises:
        InvalidArgumentError: it is neither, negative, or no number that Python can compute with.
    """
    match = _PERIOD.fullmatch(value.strip()) if isinstance(value, str) else None
    seconds = value if match is None else float(match[1]) * _UNITS[match[2]]
    if not is_period(seconds):
        units = ", ".join(_UNITS)
        raise InvalidArgumentError(
            f"{what} is seconds, or a number with a unit ({units}) such as '30d'; got {shown(value)}"
        )
    return float(seconds)


def shown_period(seconds: float) -> str:
    """Return a period in the largest unit of which it is a whole number, for messages."""
    for unit, name in ((86_400, "days"), (3_600, "hours"), (60, "minutes")):
        count, rest = divmod(seconds, unit)
        if count > 1 and not rest:
            return f"{count:,.0f} {name}"
    return f"{seconds:,.10g} seconds"


def moment_of(seconds: float) -> str:
    """Return a time as ISO 8601 text in UTC."""
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="seconds")
