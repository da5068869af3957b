"""What filtered listings ask for: fields of records and the values that they must hold."""

from __future__ import annotations

from typing import Any, NamedTuple


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
