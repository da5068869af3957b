"""Indexes over fields of records, so that a filtered listing on SQLite costs what it finds.

Each is an index on an expression, over the keys of one kind of record only: writes of other entries pay nothing
for it, and what older seller agents write is in it, too (https://www.sqlite.org/expridx.html). The key is not
part of it: entries of the same field stand in the order of their arrival, so new ones share pages.

SQLite and Python do not read every text alike: of a member that comes twice SQLite takes the first, Python the
last, and a name with escapes is another name to SQLite. So texts that may be such stand in an index of their own,
and every filtered listing looks at them. What we write is none: a column holds its size, and as long as the text
has that size it is what we wrote; others' texts are looked through when they are written.
"""

from __future__ import annotations

from typing import Final

from ..driver.query import KeyQuery
from ..records.filters import Condition
from ..records.globs import successor
from ..seller.kinds import FIELDS, PREFIXES

#: Stands for a text that is no JSON: SQLite's functions would raise on it, and the writer would get the error; and
#: for one with an escaped NUL, of which versions of SQLite make different things: under another version than that
#: which filed it the row could no longer be changed ("malformed").
_CORRUPT: Final = "x'00'"

#: What SQLite reads broken UTF-8 as, as long as it is not only too short or too long a run for its first byte.
_BROKEN: Final = "\u0080-\u00bf\ufffd"
_HUGE: Final = "*[0-9][eE][+0-9][0-9][0-9]*"  #: may be a number out of range


def _quoted(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"


def _field(path: tuple[str, ...]) -> str:
    place = _quoted(".".join(("$", *path)))
    return (
        "CASE WHEN typeof(value) = 'text' AND instr(value, '\\u0000') = 0 AND json_valid(value) "
        f"THEN json_extract(value, {place}) ELSE {_CORRUPT} END"
    )


def _is_there_twice(name: str) -> str:
    quoted = _quoted(f'"{name}"')
    return f"instr(substr(value, instr(value, {quoted}) + {len(name) + 2}), {quoted}) > 0"


def _is_odd(entity: str) -> str:
    """A text that Python may read differently, or not at all, although it is JSON to SQLite."""
    names = sorted({name for path in FIELDS[entity].values() for name in path})
    twice = " OR ".join(_is_there_twice(name) for name in names)
    return (
        "CASE WHEN typeof(value) <> 'text' THEN 1 WHEN size = length(CAST(value AS BLOB)) THEN 0 ELSE "
        f"value GLOB '*[{_BROKEN}]*' OR instr(CAST(value AS BLOB), x'00') > 0 OR value GLOB '{_HUGE}' "
        f"OR instr(value, '\\u00') > 0 OR {twice} END"
    )


def _of_kind(prefix: str) -> str:
    stop = successor(prefix) or ""
    return f"key >= {_quoted(prefix)} AND key < {_quoted(stop)}"


#: The statement that makes each index, by its name. All parts are constants of this package.
INDEXES: Final = {
    f"kv_store_{entity}_{name}": f"CREATE INDEX IF NOT EXISTS kv_store_{entity}_{name} "
    f"ON kv_store ({_field(path)}) WHERE {_of_kind(PREFIXES[entity])}"
    for entity, fields in FIELDS.items()
    for name, path in fields.items()
} | {
    f"kv_store_{entity}_odd": f"CREATE INDEX IF NOT EXISTS kv_store_{entity}_odd "
    f"ON kv_store (key) WHERE {_of_kind(PREFIXES[entity])} AND {_is_odd(entity)}"
    for entity in FIELDS
}


_ENTITIES: Final = {prefix: entity for entity, prefix in PREFIXES.items() if entity in FIELDS}


def narrowed(span: KeyQuery) -> tuple[str, dict[str, str]]:
    """Return what else a statement over ``span`` may demand of its rows, with parameters; "" for nothing.

    An index holds what SQLite makes of a field, which is the same as Python for texts without NUL. So only a
    condition of that kind is used, one of them, and the caller checks all of them again.
    """
    usable = [condition for condition in span.where if _is_usable(condition)]
    if not usable:
        return "", {}
    path, wanted = min(usable, key=lambda condition: condition.path == ("status",))  # many share a status
    entity = _ENTITIES[span.glob.prefix]
    of_kind = _of_kind(span.glob.prefix)
    found = f"SELECT rowid FROM kv_store WHERE {of_kind} AND {_field(path)} IN (:wanted, {_CORRUPT})"  # noqa: S608
    odd = f"SELECT rowid FROM kv_store WHERE {of_kind} AND {_is_odd(entity)}"  # noqa: S608
    return f"AND rowid IN ({found} UNION ALL {odd})", {"wanted": wanted}


def _is_usable(condition: Condition) -> bool:
    value = condition.value
    return type(value) is str and "\0" not in value and not any("\ud800" <= c <= "\udfff" for c in value)
