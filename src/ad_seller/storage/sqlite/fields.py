"""Indexes over fields of records, so that a search on SQLite costs what it finds.

Each is an index on an expression, over the keys of one kind of record only: writes of other entries pay nothing
for it, and what older seller agents write is in it, too (https://www.sqlite.org/expridx.html). The key is part
of it only where that is declared: without, entries of the same field stand in the order of their arrival, so new
ones share pages; with it a page of what is found needs no sorting.

SQLite and Python do not read every text alike: of a member that comes twice SQLite takes the first, Python the
last, and a name with escapes is another name to SQLite. So texts that may be such stand in an index of their own,
and every search looks at them. What we write is none: a column holds its size, and as long as the text
has that size it is what we wrote; others' texts are looked through when they are written.
"""

from __future__ import annotations

import functools
import re
from collections import ChainMap
from collections.abc import Iterable
from typing import Final

from ..driver.query import KeyQuery
from ..records.filters import Condition
from ..records.globs import successor
from ..records.indexes import DEFAULT_INDEXES, Index, unique_name
from ..records.namespaces import MARK, split_key
from .narrowing import Demand, Narrowing, demanded

#: Stands for a text that is no JSON: SQLite's functions would raise on it, and the writer would get the error; and
#: for one with an escaped NUL, of which versions of SQLite make different things: under another version than that
#: which filed it the row could no longer be changed ("malformed").
_CORRUPT: Final = "x'00'"

#: What SQLite reads broken UTF-8 as, as long as it is not only too short or too long a run for its first byte.
_BROKEN: Final = "\u0080-\u00bf\ufffd"
_HUGE: Final = "*[0-9][eE][+0-9][0-9][0-9]*"  #: may be a number out of range

#: Names of what a user has declared. The indexes that are there without have the names that every version knows.
DECLARED: Final = "kv_store_ix_"

#: Names of what earlier versions made and nobody asked for; who wants one of them declares it, and it gets another.
UNASKED: Final = (
    "kv_store_quote_status",
    "kv_store_quote_buyer_id",
    "kv_store_quote_product_id",
    "kv_store_quote_odd",
)


class FieldIndexes:
    """The indexes of a database.

    Args:
        indexes: what they are of; None: nobody declared any.
    """

    def __init__(self, indexes: Iterable[Index] | None) -> None:
        """Write the statements."""
        self.is_default = indexes is None
        indexes = DEFAULT_INDEXES if indexes is None else indexes
        self._by_kind: dict[str, list[Index]] = {}
        for index in indexes:
            self._by_kind.setdefault(index.kind, []).append(index)
        self._is_odd = {kind: _is_odd(_names(found)) for kind, found in self._by_kind.items()}
        #: The statement that makes each index, by its name.
        self.statements = {
            name: statement for found in self._by_kind.values() for name, statement in self._statements_of(found)
        }

    @functools.cached_property
    def of_namespaces(self) -> dict[str, dict[str, str]]:
        """Likewise those of all namespaces together, by kind; made when a namespace is first searched."""
        return {kind: dict(self._statements_of(found, in_namespaces=True)) for kind, found in self._by_kind.items()}

    @staticmethod
    @functools.lru_cache(maxsize=16)
    def of(indexes: tuple[Index, ...] | None) -> FieldIndexes:
        """Return those of a declaration; written once for all backends that have the same."""
        return FieldIndexes(indexes)

    def _statements_of(self, indexes: list[Index], *, in_namespaces: bool = False) -> Iterable[tuple[str, str]]:
        kind, names = indexes[0].kind, _names(indexes)
        condition = _of_kind(indexes[0].prefix, in_namespaces=in_namespaces)
        before = _before(indexes[0].prefix)
        lead = f"{before}, " if in_namespaces else ""
        for index in indexes:
            columns = lead + _field(index.path) + (", key" if index.with_key else "")
            yield _statement(name_of(index, in_namespaces=in_namespaces), columns, condition)
        name = _name_of_odd(kind, names, in_namespaces=in_namespaces)
        yield _statement(name, before if in_namespaces else "key", f"{condition} AND {self._is_odd[kind]}")

    def is_unwanted(self, name: str) -> bool:
        """Tell whether an index of ours is declared no longer; who declares none keeps those of others."""
        if name in UNASKED:
            return name not in self.statements
        if self.is_default or not (name.startswith(DECLARED) or name in _OURS):
            return False
        return self.statement_of(name) is None

    def is_outdated(self, name: str, statement: str) -> bool:
        """Tell whether an index that is there was defined in another way than now."""
        wanted = self.statement_of(name)
        return wanted is not None and is_other(wanted, statement)

    def statement_of(self, name: str) -> str | None:
        """Return the statement that makes an index that is declared, of the store or of all namespaces."""
        if name in self.statements or not name.startswith(DECLARED):
            return self.statements.get(name)
        return ChainMap(*self.of_namespaces.values()).get(name)

    def narrowed(self, span: KeyQuery) -> list[Narrowing]:
        """Return what each of the indexes knows of the search ``span``.

        An index holds what SQLite makes of a field, which is the same as Python for texts without NUL. So only
        conditions of that kind are used, one at a time, and the caller checks all of them again.
        """
        namespace, local = split_key(span.glob.prefix)
        return [
            self._narrowing(index, demand, span, namespace)
            for condition in span.where
            for index in self._of(local, condition)
            if (demand := demanded(condition.value)) is not None
        ]

    def _narrowing(self, index: Index, demand: Demand, span: KeyQuery, namespace: str) -> Narrowing:
        where, odd = _texts(index, demand.near, self._is_odd[index.kind], in_namespaces=bool(namespace))
        parameters = demand.parameters
        if namespace:
            parameters = {**parameters, "namespace": _lead(namespace, index.prefix)}
        return Narrowing(
            name_of(index, in_namespaces=bool(namespace)),
            where,
            odd,
            parameters,
            self.of_namespaces[index.kind] if namespace else {},
            is_all=span.exact and len(span.where) == 1 and type(span.where[0].value) is str,
            is_sorted=index.with_key,
        )

    def _of(self, prefix: str, condition: Condition) -> list[Index]:
        return [
            index
            for indexes in self._by_kind.values()
            for index in indexes
            if index.path == condition.path and prefix.startswith(index.prefix)
        ]


@functools.lru_cache(maxsize=256)  # to write them anew takes a tenth of a search that finds ten records
def _texts(index: Index, near: tuple[str, ...], is_odd: str, *, in_namespaces: bool) -> tuple[str, str]:
    """Return what rows fulfil that an index finds, and a query of those that Python may understand differently."""
    of_kind, field = _of_kind(index.prefix, in_namespaces=in_namespaces), _field(index.path)
    if in_namespaces:
        of_kind += f" AND {_before(index.prefix)} = :namespace"
    odd = (*(one.format(field) for one in near), f"{field} = {_CORRUPT}", is_odd)
    return (
        f"{of_kind} AND {field} = :wanted",
        " UNION ALL ".join(f"SELECT rowid FROM kv_store WHERE {of_kind} AND {part}" for part in odd),  # noqa: S608
    )


@functools.lru_cache(maxsize=1024)
def _lead(namespace: str, prefix: str) -> str:
    """Return what `_before` says of a key of this kind in this namespace."""
    first = namespace + prefix
    return first[: first.index(f":{prefix}") + 1]


@functools.cache
def name_of(index: Index, *, in_namespaces: bool = False) -> str:
    """Return what the index is called in the database, of the store itself or of its namespaces."""
    if in_namespaces:
        return DECLARED + unique_name(MARK, index.kind, index.field)
    if index in DEFAULT_INDEXES:
        return f"kv_store_{index.kind}_{index.field}"
    return DECLARED + index.name


def is_other(wanted: str, statement: str) -> bool:
    """Tell whether a statement, as SQLite keeps it, makes another index than ``wanted``."""
    return statement.startswith("CREATE UNIQUE") or wanted.partition(" ON ")[2] != statement.partition(" ON ")[2]


def _names(indexes: Iterable[Index]) -> tuple[str, ...]:
    return tuple(sorted({name for index in indexes for name in index.path}))


_DEFAULT_NAMES: Final = {
    kind: _names(index for index in DEFAULT_INDEXES if index.kind == kind)
    for kind in {index.kind for index in DEFAULT_INDEXES}
}


_OURS: Final = frozenset(name_of(index) for index in DEFAULT_INDEXES) | frozenset(
    f"kv_store_{kind}_odd" for kind in _DEFAULT_NAMES
)


def _name_of_odd(kind: str, names: tuple[str, ...], *, in_namespaces: bool) -> str:
    if in_namespaces:
        return DECLARED + unique_name(MARK, kind, "odd", *names)
    if _DEFAULT_NAMES.get(kind) == names:
        return f"kv_store_{kind}_odd"
    return DECLARED + unique_name(kind, "odd", *names)


def _statement(name: str, column: str, condition: str) -> tuple[str, str]:
    return name, f"CREATE INDEX IF NOT EXISTS {name} ON kv_store ({column}) WHERE {condition}"


def _quoted(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"


@functools.cache
def _field(path: tuple[str, ...]) -> str:
    steps = (name if re.fullmatch("[A-Za-z_][A-Za-z0-9_]*", name) else f'"{name}"' for name in path)
    place = _quoted(".".join(("$", *steps)))
    return (
        "CASE WHEN typeof(value) = 'text' AND instr(value, '\\u0000') = 0 AND json_valid(value) "
        f"THEN json_extract(value, {place}) ELSE {_CORRUPT} END"
    )


def _is_there_twice(name: str) -> str:
    quoted = _quoted(f'"{name}"')
    return f"instr(substr(value, instr(value, {quoted}) + {len(name) + 2}), {quoted}) > 0"


def _is_odd(names: Iterable[str]) -> str:
    """A text that Python may read differently, or not at all, although it is JSON to SQLite."""
    twice = " OR ".join(_is_there_twice(name) for name in names)
    return (
        "CASE WHEN typeof(value) <> 'text' THEN 1 WHEN size = length(CAST(value AS BLOB)) THEN 0 ELSE "
        f"value GLOB '*[{_BROKEN}]*' OR instr(CAST(value AS BLOB), x'00') > 0 OR value GLOB '{_HUGE}' "
        f"OR instr(value, '\\u00') > 0 OR {twice} END"
    )


@functools.cache
def _of_kind(prefix: str, *, in_namespaces: bool) -> str:
    return f"instr(key, {_quoted(f':{prefix}')})" if in_namespaces else _between(prefix)


@functools.cache
def _before(prefix: str) -> str:
    """What stands before the name of a kind of record, if it does not begin the key: as a rule the namespace.

    This and the condition are what each write of a record in a namespace pays, so they are as short as can be.
    Where the same text comes earlier in a key, they say less; a search goes by the key, too.
    """
    return f"substr(key, 1, instr(key, {_quoted(f':{prefix}')}))"


def _between(prefix: str) -> str:
    stop = successor(prefix) or ""
    return f"key >= {_quoted(prefix)} AND key < {_quoted(stop)}"
