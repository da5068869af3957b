"""Which fields of records have an index: what a user declares, and what there is without."""

from __future__ import annotations

import re
from functools import cache
from typing import Final

from msgspec import Struct

from ..errors import ConfigurationError, InvalidArgumentError, shown
from .several import several

_KIND: Final = re.compile(r"[A-Za-z0-9_:-]{1,100}")
_FIELD: Final = re.compile(r"[A-Za-z0-9_@$:-]+(\.[A-Za-z0-9_@$:-]+)*")
_LONGEST_FIELD: Final = 200
_WITH_KEY: Final = "+key"  #: after the field, in a text


class Index(Struct, frozen=True):
    """A field of the records of one kind, by which `find` is to cost what it finds.

    Attributes:
        kind: what stands before the first ``:`` of the keys, e.g. ``event`` for ``event:…``.
        field: the name of the field; dots lead into a dict, e.g. ``product.product_id``.
        with_key: whether an index on SQLite holds the keys, too, so that a page by the field needs no sorting:
            cheap to write where keys sort by time, as those of `new_id` do. Those of PostgreSQL always hold them.

    Raises:
        InvalidArgumentError: the kind is not letters, digits and ``_ : -``, or the field not names with dots in it.
    """

    kind: str
    field: str
    with_key: bool = False

    def __post_init__(self) -> None:
        """Check both."""
        if not isinstance(self.kind, str) or _KIND.fullmatch(self.kind) is None:
            raise InvalidArgumentError(
                f"The kind of an index is what stands before the ':' of keys, e.g. event; not {shown(self.kind)}"
            )
        is_name = isinstance(self.field, str) and _FIELD.fullmatch(self.field) is not None
        if not is_name or len(self.field) > _LONGEST_FIELD:
            raise InvalidArgumentError(
                f"The field of an index is a name, or names with dots between, such as product.product_id; not "
                f"{shown(self.field)}"
            )

    def __str__(self) -> str:
        """Return what it is called in ``STORAGE_INDEXES``."""
        return f"{self.kind}.{self.field}{_WITH_KEY if self.with_key else ''}"

    @property
    def prefix(self) -> str:
        """With what the keys of its records begin."""
        return f"{self.kind}:"

    @property
    def path(self) -> tuple[str, ...]:
        """The names on the way to the field."""
        return tuple(self.field.split("."))

    @property
    def name(self) -> str:
        """A name in SQL that no other index has; what it is of can be read in it."""
        return unique_name(self.kind, self.field)


@cache
def unique_name(*parts: str) -> str:
    """Return a name of at most 46 small letters, digits and ``_`` that other parts do not have."""
    import hashlib  # costs a millisecond of our start

    readable = re.sub("[^a-z0-9]+", "_", "_".join(parts).lower()).strip("_")[:36]
    return f"{readable}_{hashlib.sha256(chr(0).join(parts).encode()).hexdigest()[:9]}"


#: What there is where nothing is declared: what agents ask for.
DEFAULT_INDEXES: Final = (
    Index("order", "status"),
    Index("change_request", "order_id"),
    Index("change_request", "status"),
)


def declared(indexes: object) -> tuple[Index, ...]:
    """Return the indexes that a user declares, each field once; with the key if any of them says so.

    Args:
        indexes: several `Index`, or texts such as ``event.session_id``; or with the key
            ``event.session_id+key``; ``default`` stands for `DEFAULT_INDEXES`.

    Raises:
        ConfigurationError: it is something else.
    """
    found: list[Index] = []
    for one in several("indexes", indexes, ConfigurationError):
        found += DEFAULT_INDEXES if one == "default" else [_one(one)]
    with_key = {(index.kind, index.field) for index in found if index.with_key}
    unique = dict.fromkeys((index.kind, index.field) for index in found)
    return tuple(Index(*one, with_key=one in with_key) for one in unique)


def _one(index: object) -> Index:
    if isinstance(index, Index):
        return index
    kind, dot, field = index.partition(".") if isinstance(index, str) else ("", "", "")
    try:
        if dot:
            name = field.strip()
            return Index(kind.strip(), name.removesuffix(_WITH_KEY), with_key=name.endswith(_WITH_KEY))
    except InvalidArgumentError as error:
        raise ConfigurationError(f"No index can be declared by {shown(index)}: {error}") from error
    raise ConfigurationError(
        f"An index is Index(kind, field), or KIND.FIELD such as event.session_id (in STORAGE_INDEXES with commas "
        f"between); not {shown(index)}"
    )
