"""What filtered listings ask for: fields of records and the values that they must hold."""

from __future__ import annotations

from typing import Any, NamedTuple

from ..errors import CorruptValueError
from .codec import decode


class Condition(NamedTuple):
    """The field at ``path`` holds ``value``, which is not None."""

    path: tuple[str, ...]
    value: Any


def matches(record: Any, where: tuple[Condition, ...]) -> bool:
    """Tell whether the record fulfils all conditions; one without the field, or with null there, does not."""
    for path, value in where:
        found = record
        for field in path:
            found = found.get(field) if isinstance(found, dict) else None
        if found is None or found != value:
            return False
    return True


def fulfils(key: str, text: bytes, where: tuple[Condition, ...]) -> bool:
    """Tell whether a stored record fulfils all conditions, or has to be reported because it cannot be read."""
    try:
        return matches(decode(text, key=key), where)
    except CorruptValueError:
        return True
