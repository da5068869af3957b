"""What filtered listings ask for: fields of records and the values that they must hold."""

from __future__ import annotations

from typing import Any, Final, NamedTuple

from .errors import InvalidArgumentError, shown

#: For each kind of record the filters that its listing takes, with the place of the field (contract, section 1).
FIELDS: Final[dict[str, dict[str, tuple[str, ...]]]] = {
    "quote": {"status": ("status",), "buyer_id": ("buyer_id",), "product_id": ("product", "product_id")},
    "order": {"status": ("status",)},
    "change_request": {"order_id": ("order_id",), "status": ("status",)},
}


class Condition(NamedTuple):
    """The field at ``path`` holds ``value``, which is not None."""

    path: tuple[str, ...]
    value: Any


def conditions(entity: str, filters: object) -> tuple[Condition, ...]:
    """Return what a record must fulfil; a filter that is None asks for nothing.

    Args:
        entity: a kind of `FIELDS`.
        filters: a dict of names and values, or None.

    Raises:
        InvalidArgumentError: it is something else, or names a field that cannot be asked for.
    """
    known = FIELDS[entity]
    if filters is None:
        return ()
    if not isinstance(filters, dict) or not filters.keys() <= known.keys():
        raise InvalidArgumentError(f"{entity} filters are a dict of {', '.join(known)}; got {shown(filters)}")
    return tuple(Condition(known[name], value) for name, value in filters.items() if value is not None)


def matches(record: Any, where: tuple[Condition, ...]) -> bool:
    """Tell whether the record fulfils all conditions; one without the field, or with null there, does not."""
    for path, value in where:
        found = record
        for field in path:
            found = found.get(field) if isinstance(found, dict) else None
        if found is None or found != value:
            return False
    return True
