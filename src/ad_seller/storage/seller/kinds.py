"""The kinds of record that a seller has: the prefix of their keys, and what their listings can be filtered by."""

from __future__ import annotations

from typing import Final, TypedDict

from ..errors import InvalidArgumentError, shown
from ..records.filters import Condition

#: The key prefix of every entity (contract, section 1).
PREFIXES = {
    "product": "product:",
    "proposal": "proposal:",
    "deal": "deal:",
    "session": "session:",
    "quote": "quote:",
    "order": "order:",
    "change_request": "change_request:",
    "negotiation": "negotiation:",
    "agent": "agent:",
    "package": "package:",
    "media_kit": "media_kit:",
}

SESSION_INDEX_PREFIX = "session_index:buyer:"
AGENT_URL_INDEX_PREFIX = "agent_url_index:"

_EXPIRING = ("session", "quote")  #: kinds whose helpers take a time to live

#: Prefixes of entries that no helper lets expire.
LASTING: Final = (
    *(prefix for kind, prefix in PREFIXES.items() if kind not in _EXPIRING),
    SESSION_INDEX_PREFIX,
    AGENT_URL_INDEX_PREFIX,
)

#: For each kind of record the filters that its listing takes, with the place of the field (contract, section 1).
FIELDS: Final[dict[str, dict[str, tuple[str, ...]]]] = {
    "quote": {"status": ("status",), "buyer_id": ("buyer_id",), "product_id": ("product", "product_id")},
    "order": {"status": ("status",)},
    "change_request": {"order_id": ("order_id",), "status": ("status",)},
}


class QuoteFilters(TypedDict, total=False):
    """What `list_quotes` can be asked for; None asks for nothing."""

    status: str | None
    buyer_id: str | None
    product_id: str | None


class OrderFilters(TypedDict, total=False):
    """What `list_orders` can be asked for; None asks for nothing."""

    status: str | None


class ChangeRequestFilters(TypedDict, total=False):
    """What `list_change_requests` can be asked for; None asks for nothing."""

    order_id: str | None
    status: str | None


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
