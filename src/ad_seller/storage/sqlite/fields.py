"""Indexes over fields of records, so that a filtered listing on SQLite costs what it finds.

Each is an index on an expression, over the keys of one kind of record only: writes of other entries pay nothing
for it, and what older seller agents write is in it, too (https://www.sqlite.org/expridx.html). The key is not
part of it: entries of the same field stand in the order of their arrival, so new ones share pages.
"""

from __future__ import annotations

from typing import Final

from ..driver.query import KeyQuery
from ..records.filters import Condition
from ..records.globs import successor
from ..seller.kinds import FIELDS, PREFIXES

#: Stands for a text that is no JSON: SQLite's functions would raise on it, and the writer would get the error.
_CORRUPT: Final = "x'00'"


def _quoted(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"


def _field(path: tuple[str, ...]) -> str:
    place = _quoted(".".join(("$", *path)))
    return (
        "CASE WHEN typeof(value) = 'text' AND json_valid(value) "
        f"THEN json_extract(value, {place}) ELSE {_CORRUPT} END"
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
}


def narrowed(span: KeyQuery) -> tuple[str, dict[str, str]]:
    """Return what else a statement over ``span`` may demand of its rows, with parameters; "" for nothing.

    An index holds what SQLite makes of a field, which is the same as Python for texts without NUL. So only a
    condition of that kind is used, one of them, and the caller checks all of them again.
    """
    usable = [condition for condition in span.where if _is_usable(condition)]
    if not usable:
        return "", {}
    path, wanted = min(usable, key=lambda condition: condition.path == ("status",))  # many share a status
    return f"AND {_field(path)} IN (:wanted, {_CORRUPT}) AND {_of_kind(span.glob.prefix)}", {"wanted": wanted}


def _is_usable(condition: Condition) -> bool:
    value = condition.value
    return type(value) is str and "\0" not in value and not any("\ud800" <= c <= "\udfff" for c in value)
