"""What dashboards see of a seller's records: one declaration, of which each SQL engine makes views of its own."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final, Literal

from ..errors import InvalidArgumentError, shown
from ..records.several import all_of_kind
from .kinds import PREFIXES

#: What a column holds: ``text`` (numbers as text, too), ``number``, ``flag`` (true or false), ``time`` (in UTC),
#: ``date``, ``length`` (how many elements a list has).
Kind = Literal["text", "number", "flag", "time", "date", "length"]
#: Names of members; -1 is the last element of a list.
Path = tuple[str | int, ...]

_NAME: Final = re.compile(r"[a-z][a-z0-9_]{0,58}")
_MEMBER: Final = re.compile(r"[A-Za-z0-9_-]{1,100}")


@dataclass(frozen=True, slots=True)
class Column:
    """One column of a view.

    Attributes:
        name: of the column.
        kind: what it holds; what is of another kind in a record is NULL.
        paths: where it stands in a record; the first place that has it counts.
    """

    name: str
    kind: Kind
    paths: tuple[Path, ...]


@dataclass(frozen=True, slots=True)
class View:
    """One view: the live entries of one kind.

    Attributes:
        name: of the view.
        prefix: of the keys; what follows it is the first column.
        identity: the name of that column.
        columns: those that are read from the record; after them come ``expires_at``, ``readable`` and
            ``namespace``.
    """

    name: str
    prefix: str
    identity: str
    columns: tuple[Column, ...]


def _column(name: str, kind: Kind, *places: str) -> Column:
    """Return a column; a place is written with dots, without one it is the column's name."""
    split = [place.split(".") for place in places or (name,)]
    return Column(name, kind, tuple(tuple(-1 if part == "-1" else part for part in parts) for parts in split))


def _columns(kind: Kind, names: str) -> tuple[Column, ...]:
    return tuple(_column(name, kind) for name in names.split())


def _view(kind: str, *columns: Column) -> View:
    return View(f"seller_{kind}s", PREFIXES[kind], f"{kind}_id", columns)


_STATUS = _column("status", "text")
_PRODUCT = _column("product_id", "text", "product_id", "product.product_id")
_CREATED = _column("created_at", "time")
_FLIGHT = tuple(_column(name, "date", name, f"terms.{name}") for name in ("flight_start", "flight_end"))
_IMPRESSIONS = _column("impressions", "number", "impressions", "terms.impressions")
_CURRENCY = _column("currency", "text", "currency", "pricing.currency")

#: The views of a seller's records, by the fields that agents of this kind store.
VIEWS: Final = (
    _view("product", *_columns("text", "name inventory_type"), *_columns("number", "base_cpm floor_cpm")),
    _view(
        "package",
        *_columns("text", "name status layer pricing_type currency"),
        *_columns("number", "base_price floor_price"),
        _column("is_featured", "flag"),
        _column("placements", "length"),
        *_columns("time", "created_at updated_at"),
    ),
    _view(
        "proposal",
        *_columns("text", "status buyer_id product_id deal_type recommendation"),
        *_columns("number", "price impressions"),
        *_columns("date", "start_date end_date"),
    ),
    _view(
        "quote",
        *_columns("text", "status buyer_id"),
        _PRODUCT,
        _column("product_name", "text", "product.name"),
        *_columns("text", "deal_type buyer_tier deal_id"),
        _column("base_cpm", "number", "pricing.base_cpm"),
        _column("final_cpm", "number", "pricing.final_cpm"),
        _CURRENCY,
        _IMPRESSIONS,
        *_FLIGHT,
        _CREATED,
        _column("valid_until", "time", "expires_at"),
    ),
    _view(
        "deal",
        *_columns("text", "status deal_type buyer_tier quote_id"),
        _PRODUCT,
        _column("cpm", "number", "actual_price_cpm", "pricing.final_cpm"),
        _CURRENCY,
        _IMPRESSIONS,
        *_FLIGHT,
        _CREATED,
        _column("valid_until", "time", "expires_at"),
    ),
    _view(
        "order",
        *_columns("text", "status deal_id quote_id"),
        _CREATED,
        _column("transitions", "length", "audit_log.transitions"),
        _column("changed_at", "time", "audit_log.transitions.-1.timestamp"),
        _column("changed_by", "text", "audit_log.transitions.-1.actor"),
    ),
    _view(
        "change_request",
        *_columns("text", "status order_id deal_id change_type severity requested_by approved_by"),
        *_columns("time", "requested_at approved_at applied_at"),
    ),
    _view(
        "negotiation",
        *_columns("text", "status proposal_id product_id buyer_tier strategy"),
        *_columns("number", "base_price floor_price"),
        _column("rounds", "length"),
        _column("buyer_price", "number", "rounds.-1.buyer_price"),
        _column("seller_price", "number", "rounds.-1.seller_price"),
        *_columns("time", "started_at completed_at"),
    ),
    _view(
        "session",
        _STATUS,
        _column("advertiser_id", "text", "buyer_identity.advertiser_id"),
        _column("agency_id", "text", "buyer_identity.agency_id"),
        _column("stage", "text", "negotiation.stage"),
        _column("messages", "length"),
        *_columns("time", "created_at updated_at closed_at"),
    ),
    _view(
        "agent",
        _column("name", "text", "agent_card.name", "name"),
        _column("url", "text", "agent_card.url", "url"),
        *_columns("text", "agent_type trust_status"),
        _column("interaction_count", "number"),
        *_columns("time", "registered_at last_seen"),
    ),
    _view("media_kit", *_columns("text", "name status"), *_columns("time", "created_at updated_at")),
)

#: The view of all live entries: their keys, what stands before the first colon after a namespace, and their size.
ENTRIES: Final = "seller_entries"


def checked(views: tuple[View, ...] | None) -> tuple[View, ...]:
    """Return the views, `VIEWS` for None.

    Raises:
        InvalidArgumentError: a name needs quoting, or comes twice; or it is something else.
    """
    if views is None:
        return VIEWS
    views = all_of_kind("Views", views, View)
    names = [view.name for view in views]
    if len({*names, ENTRIES}) < len(names) + 1:
        raise InvalidArgumentError(f"Two views have one name: {shown(names)}")
    for view in views:
        for column in all_of_kind(f"The columns of {view.name!r}", view.columns, Column):
            all_of_kind(f"The paths of {column.name!r}", column.paths, tuple)
        columns = [view.identity, *(column.name for column in view.columns), "expires_at", "readable", "namespace"]
        if len(set(columns)) < len(columns):
            raise InvalidArgumentError(f"The view {view.name!r} has two columns of one name: {shown(columns)}")
        for name in (view.name, *columns):
            if not _NAME.fullmatch(name):
                raise InvalidArgumentError(f"A name in a view is lower case, digits and _: not {shown(name)}")
        for part in (part for column in view.columns for path in column.paths for part in path):
            if part != -1 and not (isinstance(part, str) and _MEMBER.fullmatch(part)):
                raise InvalidArgumentError(f"A place in a record is names, or -1; not {shown(part)}")
    return views


def text_literal(text: str) -> str:
    """Return a text as SQL writes it, in both dialects."""
    return "'" + text.replace("'", "''") + "'"
