"""Indexes of the fields that are declared: what they hold, and how they are asked.

Each is an index of our table by the field's text and the key, for the records of one kind. The field is read by a
function of ours that never fails: no write is refused because of an index. What it cannot read is filed as unknown,
and unknown records are found by every search. So a search finds all records that match, and some more.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from functools import cache
from typing import Any, Final, NamedTuple

from msgspec import Struct

from ..driver.query import KeyQuery
from ..records.globs import successor
from ..records.indexes import DEFAULT_INDEXES, Index, unique_name
from ..records.namespaces import MARK, split_key
from .statements import LIVE, TABLE

FIELD_FUNCTION: Final = "ad_seller_kv_field"
FIELD_SIGNATURE: Final = f"{FIELD_FUNCTION}(text, text[])"

#: Characters of a field that count: with the longest key they fit into an entry of an index (2,704 bytes).
_CHARACTERS: Final = 100

#: Larger texts are not read, because that would take longer than storing them.
_MOST_BYTES: Final = 1024 * 1024

#: Files a record whose field cannot be read: the text is no JSON, too large, or has a NUL character in it.
_UNKNOWN: Final = r"E'\x01'"

#: A null, and a field that is not there, give NULL. Of several members of one name the last counts, as it does for
#: our decoder. The handler starts a subtransaction, which a parallel worker may not do: hence not PARALLEL SAFE.
#: The cost keeps the planner from calling it for each record of a kind, whatever it believes about their fields.
CREATE_FIELD_FUNCTION: Final = f"""
CREATE OR REPLACE FUNCTION {FIELD_FUNCTION}(value text, VARIADIC path text[]) RETURNS text
LANGUAGE plpgsql IMMUTABLE COST 10000 AS $function$
BEGIN
    IF octet_length(value) NOT BETWEEN 2 AND {_MOST_BYTES} THEN
        RETURN {_UNKNOWN};
    END IF;
    RETURN left(value::json #>> path, {_CHARACTERS});
EXCEPTION WHEN others THEN
    RETURN {_UNKNOWN};
END
$function$"""


class TableIndex(NamedTuple):
    """An index of our table.

    Attributes:
        name: what it is called in the database.
        on: what it holds, and of which entries.
    """

    name: str
    on: str

    def create(self, how: str = "") -> str:
        """Return the statement that makes it if it is missing; ``how`` may be CONCURRENTLY."""
        return f"CREATE INDEX {how} IF NOT EXISTS {self.name} ON {TABLE} {self.on}"

    def is_as(self, definition: str) -> bool:
        """Tell whether the server defines an index as this one; see `INDEXES_THERE`."""
        before, _, on = definition.partition(" USING btree ")
        return before.startswith("CREATE INDEX ") and _bare(on) == _bare(self.on)


#: What the sweep reads by. Partial, so that entries without expiry pay nothing for it.
EXPIRY: Final = TableIndex(f"{TABLE}_expiry", "(expires_at) WHERE expires_at IS NOT NULL")

#: An array of the indexes of our table: of each the name, and what the server defines it as; "": it cannot be used,
#: or was dropped since the transaction began.
INDEXES_THERE: Final = f"""
    ARRAY(SELECT ARRAY[relname::text, coalesce(CASE WHEN indisvalid THEN pg_get_indexdef(indexrelid) END, '')]
        FROM pg_index JOIN pg_class ON pg_class.oid = indexrelid WHERE indrelid = to_regclass('{TABLE}'))"""  # noqa: S608

#: Those of them that belong to a constraint, which alone can be dropped or renamed.
OF_CONSTRAINTS: Final = (
    f"SELECT conname::text FROM pg_constraint WHERE conindid <> 0 AND conrelid = to_regclass('{TABLE}')"  # noqa: S608
)

#: What the server adds to a definition: types, brackets, how the index is stored.
_ADDED: Final = re.compile(r" WITH \([^()]*\)|::text|VARIADIC ARRAY|[()\[\]\s]")


class FieldIndex(NamedTuple):
    """An index of one field of the records of one kind.

    Attributes:
        name: what the index is called in the database.
        prefix: of the records' keys.
        path: where the field is.
        in_namespaces: whether it is of the records in all namespaces, or of those in none.
    """

    name: str
    prefix: str
    path: tuple[str, ...]
    in_namespaces: bool = False

    @property
    def field(self) -> str:
        """The field as an expression of SQL; our own names only, so nothing is escaped."""
        path = ", ".join(f"'{name}'" for name in self.path)
        return f"{FIELD_FUNCTION}(value, {path})"

    @property
    def keys(self) -> str:
        """The condition for the records' keys; of constants, or the planner does not see that the index fits."""
        if not self.in_namespaces:
            return _between(self.prefix)
        rest = f"substr(key, {len(MARK) + 1})"
        start = f"{len(MARK) + 1} + strpos({rest}, ':')"
        return f"{_between(MARK)} AND substr(key, {start}, {len(self.prefix)}) = '{self.prefix}'"

    @property
    def table_index(self) -> TableIndex:
        """The index as the database has it."""
        return TableIndex(self.name, f"({self.field}, key) WHERE {self.keys}")


#: Names of what a user has declared. The indexes that are there without have the names that every version knows.
DECLARED: Final = f"{TABLE}_ix_"

#: Names of what earlier versions made and nobody asked for; who wants one of them declares it, and it gets another.
UNASKED: Final = tuple(f"{TABLE}_quote_{field}" for field in ("status", "buyer_id", "product_id"))


class Declared:
    """The indexes that there are to be.

    Args:
        indexes: what they are of; None: nobody declared any.
    """

    def __init__(self, indexes: Iterable[Index] | None) -> None:
        """Name them."""
        self.is_default = indexes is None
        indexes = tuple(DEFAULT_INDEXES if indexes is None else indexes)
        self._of_the_store = tuple(map(field_index, indexes))
        self._of_namespaces = tuple([field_index(index, in_namespaces=True) for index in indexes])
        fields = self._of_the_store + self._of_namespaces
        self._wanted = {index.name: index for index in (EXPIRY, *(each.table_index for each in fields))}
        self._has_namespaces = False

    @property
    def indexes(self) -> tuple[TableIndex, ...]:
        """Those that there are to be; of namespaces, once one has been searched."""
        fields = self._of_the_store + (self._of_namespaces if self._has_namespaces else ())
        return (EXPIRY, *(each.table_index for each in fields))

    @property
    def names(self) -> frozenset[str]:
        """What they are called."""
        return frozenset(index.name for index in self.indexes)

    def usable(self, there: dict[str, str]) -> frozenset[str]:
        """Return which indexes are what their names say.

        Args:
            there: what the server defines each as; see `INDEXES_THERE`.
        """
        return frozenset(
            name
            for name, definition in there.items()
            if name in self._wanted and self._wanted[name].is_as(definition)
        )

    def is_unwanted(self, name: str) -> bool:
        """Tell whether an index of ours is declared no longer; who declares none keeps those of others."""
        if name in self._wanted:
            return False
        if name in UNASKED:
            return True
        return not self.is_default and (name.startswith(DECLARED) or name in _OURS)

    def searches(self, span: KeyQuery) -> list[Search]:
        """Return what indexes can be asked for in place of ``span``; each alone finds all that it must have.

        Only for texts that PostgreSQL can hold: other values are looked for in all records.
        """
        if span.glob.literal or "\0" in span.glob.prefix:  # nothing to find, then
            return []
        namespace, prefix = split_key(span.glob.prefix)
        found = [
            Search(index, condition.value[:_CHARACTERS])
            for condition in span.where
            for index in (self._of_namespaces if namespace else self._of_the_store)
            if prefix.startswith(index.prefix) and index.path == condition.path and _is_text(condition.value)
        ]
        self._has_namespaces = self._has_namespaces or bool(namespace and found)
        return found


@cache
def field_index(index: Index, *, in_namespaces: bool = False) -> FieldIndex:
    """Return how an index stands in the database, of the store itself or of its namespaces."""
    if in_namespaces:
        name = DECLARED + unique_name(MARK, index.kind, index.field)
        return FieldIndex(name, index.prefix, index.path, in_namespaces=True)
    is_default = Index(index.kind, index.field) in DEFAULT_INDEXES  # all hold the key
    name = f"{TABLE}_{index.kind}_{index.field}" if is_default else DECLARED + index.name
    return FieldIndex(name, index.prefix, index.path)


_OURS: Final = frozenset(field_index(index).name for index in DEFAULT_INDEXES)


class Search(Struct, frozen=True):
    """A field and the text that it must have."""

    index: FieldIndex
    text: str

    def select(self, span: KeyQuery, after: str | None, limit: int) -> tuple[str, list[Any]]:
        """Return a statement for the next ``limit`` candidates of ``span`` after a key, and its parameters.

        Those with the text and those that are unknown are two ranges of the index, each in the order of the keys.
        """
        span = span.beyond(after)
        order = "ORDER BY key DESC" if span.reverse else "ORDER BY key"
        parameters: list[Any] = [span.start, self.text, limit]
        keys = f"{self.index.keys} AND key {'>' if span.is_after_start else '>='} $1::text"
        if span.stop is not None:
            parameters.append(span.stop)
            keys += " AND key < $4::text"
        part = f"""(SELECT key, value FROM {TABLE} WHERE {keys}
            AND {self.index.field} = %s AND {LIVE} {order} LIMIT $3::bigint)"""  # noqa: S608
        statement = f"""SELECT key, value FROM ({part % "$2::text"} UNION ALL {part % _UNKNOWN}) AS found
            {order} LIMIT $3::bigint"""  # noqa: S608
        return statement, parameters


def narrowness(found: list[Search], span: KeyQuery, most: int) -> tuple[str, list[Any]]:
    """Return a statement that counts the records of each search, up to ``most``, and its parameters."""
    counts = ", ".join(
        f"(SELECT count(*) FROM (SELECT FROM {TABLE} WHERE {search.index.keys} AND key >= $1::text "  # noqa: S608
        f"AND key < $2::text AND {search.index.field} = ${number}::text LIMIT {most}) AS found)"
        for number, search in enumerate(found, start=3)
    )
    return f"SELECT {counts}", [span.glob.prefix, successor(span.glob.prefix), *(search.text for search in found)]


def _bare(on: str) -> str:
    return _ADDED.sub("", on)


def _between(prefix: str) -> str:
    return f"key >= '{prefix}' AND key < '{successor(prefix)}'"


def _is_text(value: Any) -> bool:
    """Tell whether PostgreSQL can be asked for ``value``; what stands for the unknown is found by any search."""
    if type(value) is not str or "\0" in value or value == "\x01":
        return False
    try:
        value.encode()
    except UnicodeEncodeError:  # a lone surrogate
        return False
    return True
