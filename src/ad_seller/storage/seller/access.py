"""How the helpers of a kind read and write: the key of a record, and the rule that a record is a dict."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

from ..atomic.fallback import changed
from ..errors import InvalidKeyError, InvalidValueError, MissingKeyError, shown
from ..records.expiry import TTL
from ..records.filters import Condition
from ..records.markers import Keep, Marker
from ..records.pages import OnCorrupt, check_limit
from .host import Host
from .kinds import PREFIXES

Record = dict[str, Any]
RecordChange = Callable[[Record], Record | Marker]
NewTTL = TTL | Keep | None


def entity_key(entity: str, record_id: object) -> str:
    """Return the key of the record of a kind (a key of `PREFIXES`) with this id."""
    return PREFIXES[entity] + check_id(entity, record_id)


def check_id(kind: str, record_id: object) -> str:
    """Return the id if it is a non-empty str."""
    if not isinstance(record_id, str) or not record_id:
        raise InvalidKeyError(f"The id of a {kind} must be a non-empty str, not {shown(record_id)}")
    return str.__str__(record_id)


def record_of(entity: str, record_id: object, data: object) -> tuple[str, Record]:
    """Return the key and the data of a record that is to be stored.

    Raises:
        InvalidValueError: the data is no dict; `set` stores any JSON value.
    """
    key = entity_key(entity, record_id)
    return key, _checked(entity, data, key)


async def update_record(
    host: Host, entity: str, record_id: object, change: RecordChange, start: Record | None, ttl: NewTTL
) -> Any:
    """Replace a record by ``change(current)``; see `StorageBackend.update`.

    Args:
        host: the backend, or the transaction.
        entity: the kind.
        record_id: its id.
        change: a plain function from the record to the new one, or to `DELETE` or `LEAVE`.
        start: what ``change`` gets if there is no record.
        ttl: seconds until it expires, None for never, `KEEP` for the expiry that it has.

    Raises:
        MissingKeyError: there is no record, and no ``start``.
        InvalidValueError: ``change`` returned something else than a dict, or something else is stored.
    """
    key = entity_key(entity, record_id)
    if start is not None:
        _checked(entity, start, key)

    def change_record(current: Any) -> Any:
        if current is None:
            if start is None:
                raise MissingKeyError(
                    f"There is no {entity} under {key!r} to update. Store it first, or pass start={{…}} for what "
                    "the change begins with where there is none.",
                    key=key,
                )
            current = copy.deepcopy(start)
        elif not isinstance(current, dict):
            raise InvalidValueError(
                f"{key!r} holds {type(current).__name__}, not a record; replace it with set_{entity}", key=key
            )
        value = changed(change, current, key)
        return value if isinstance(value, Marker) else _checked(entity, value, key)

    return await host.update(key, change_record, ttl=ttl)


async def list_records(
    host: Host,
    entity: str,
    limit: int | None,
    reverse: bool,
    on_corrupt: OnCorrupt,
    where: tuple[Condition, ...] = (),
) -> list[Any]:
    """Return the records of a kind that match, in the order of their keys; at most ``limit`` of them."""
    check_limit(limit)
    return await host._records(PREFIXES[entity], where, limit, bool(reverse), on_corrupt)


def _checked(entity: str, data: object, key: str) -> Record:
    if not isinstance(data, dict):
        raise InvalidValueError(
            f"The {entity} must be a dict, not {shown(data)}; nothing was written. Any other JSON value can be "
            f"stored with set({key!r}, ...).",
            key=key,
        )
    return data
