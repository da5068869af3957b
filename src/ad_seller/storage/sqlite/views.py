"""The views of a seller's records in SQLite, for Datasette, Grafana and any other reader of the file.

No stored text makes one of them raise: SQLite's functions fail on what is no JSON, and readers on what is no UTF-8,
so each column looks first.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from typing import Final

from ..errors import StoreUnavailableError
from ..records.globs import successor
from ..records.namespaces import MARK
from ..seller.views import ENTRIES, Column, Path, View, checked, text_literal
from .locks import take_write_lock

_MARK: Final = "/* made by `ad-seller-storage views create`; changes of your own are lost at the next one */"

#: The clock of the reader's machine, as epoch seconds; `unixepoch('subsec')` needs SQLite 3.42.
_NOW: Final = "((julianday('now') - 2440587.5) * 86400.0)"
_LIVE: Final = f"(expires_at IS NULL OR expires_at > {_NOW})"
_TIME: Final = "'%Y-%m-%d %H:%M:%f'"
_CHECKED: Final = 1000  #: characters of a text that has more than ASCII in it; what is longer is cut

#: Where the name of a namespace ends in a key that begins with `MARK`, counted from its start; 0: there is none.
_COLON: Final = f"instr(substr(key, {len(MARK) + 1}), ':')"
_NAMESPACE: Final = f"substr(key, {len(MARK) + 1}, {_COLON} - 1)"
_REST: Final = f"substr(key, {len(MARK) + 1} + {_COLON})"

#: What is shown of a value: itself if it is JSON, else a null, whose members are all NULL.
_RECORD: Final = "CASE WHEN typeof(value) = 'text' AND json_valid(value) THEN value ELSE 'null' END"


def view_statements(views: tuple[View, ...] | None) -> dict[str, str]:
    """Return the statement that makes each view, by its name."""
    views = checked(views)
    return {view.name: _create(view) for view in views} | {ENTRIES: _create_entries()}


def _create(view: View) -> str:
    columns = [f"{_readable(f'substr(rest, {len(view.prefix) + 1})')} AS {view.identity}"]
    columns += [f"{_field(column)} AS {column.name}" for column in view.columns]
    columns += [f"{_expiry()} AS expires_at", "json_type(record) = 'object' AS readable", "namespace"]
    inside = _in_namespace()
    outside = f"{_between(view.prefix)} AND NOT ({inside})"
    places = ((outside, "NULL", "key"), (inside, _NAMESPACE, _REST))
    # In a namespace the key says which kind it is after the namespace.
    inner = "\n  UNION ALL ".join(
        f"SELECT {namespace} AS namespace, {rest} AS rest, expires_at, {_RECORD} AS record FROM kv_store "  # noqa: S608
        f"WHERE typeof(key) = 'text' AND {keys} AND substr({rest}, 1, {len(view.prefix)}) = "
        f"{text_literal(view.prefix)} AND {_LIVE}"
        for keys, namespace, rest in places
    )
    return f"CREATE VIEW {view.name} AS {_MARK}\nSELECT\n  " + ",\n  ".join(columns) + f"\nFROM ({inner})"


def _in_namespace() -> str:
    return f"{_between(MARK)} AND {_COLON} > 0"


def _between(prefix: str) -> str:
    stop = successor(prefix)
    # typeof: with no upper end, a key that is a blob would come after all texts.
    return f"key >= {text_literal(prefix)}" + ("" if stop is None else f" AND key < {text_literal(stop)}")


def _create_entries() -> str:
    namespace = f"CASE WHEN {_in_namespace()} THEN {_NAMESPACE} END"
    rest = f"CASE WHEN {_in_namespace()} THEN {_REST} ELSE key END"
    kind = "CASE WHEN instr(rest, ':') > 0 THEN substr(rest, 1, instr(rest, ':')) END"
    live = f"typeof(key) = 'text' AND {_LIVE}"
    inner = f"SELECT *, {namespace} AS namespace, {rest} AS rest FROM kv_store WHERE {live}"  # noqa: S608
    return (
        f"CREATE VIEW {ENTRIES} AS {_MARK}\nSELECT {_readable('key')} AS key, {_readable(kind)} AS kind, "
        f"length(CAST(value AS BLOB)) AS bytes, {_expiry()} AS expires_at, "
        f"typeof(value) = 'text' AND json_valid(value) AS readable, namespace\nFROM ({inner})"
    )


def _field(column: Column) -> str:
    found = [_READERS[column.kind](_place(path)) for path in column.paths]
    return found[0] if len(found) == 1 else f"coalesce({', '.join(found)})"


def _place(path: Path) -> str:
    return text_literal("$" + "".join("[#-1]" if part == -1 else f'."{part}"' for part in path))


def _text(place: str) -> str:
    value = f"json_extract(record, {place})"
    as_text = f"CAST({value} AS TEXT)"
    return f"CASE WHEN json_type(record, {place}) IN ('text', 'integer', 'real') THEN {_readable(as_text)} END"


def _readable(text: str) -> str:
    """Return the text, or NULL if a character of it is no UTF-8: Python's readers would raise.

    Each character is encoded anew and compared; what is plain ASCII, as most is, needs no look.
    """
    start = f"substr({text}, 1, {_CHECKED})"
    characters = f"SELECT {start} UNION ALL SELECT substr(s, 2) FROM rest WHERE length(s) > 1"  # noqa: S608
    broken = "SELECT 1 FROM rest WHERE s <> '' AND hex(char(unicode(s))) <> hex(substr(s, 1, 1))"
    return (
        f"CASE WHEN instr(CAST({text} AS BLOB), x'00') > 0 THEN NULL WHEN {text} NOT GLOB '*[^ -~]*' THEN {text} "
        f"WHEN EXISTS (WITH RECURSIVE rest(s) AS ({characters}) {broken}) THEN NULL ELSE {start} END"
    )


def _number(place: str) -> str:
    value = f"json_extract(record, {place})"
    return (
        f"CASE WHEN json_type(record, {place}) IN ('integer', 'real') AND abs(CAST({value} AS REAL)) < 9e999 "
        f"THEN {value} END"
    )


def _flag(place: str) -> str:
    return f"CASE json_type(record, {place}) WHEN 'true' THEN 1 WHEN 'false' THEN 0 END"


def _length(place: str) -> str:
    return f"CASE json_type(record, {place}) WHEN 'array' THEN json_array_length(record, {place}) END"


def _moment(place: str, shown: str) -> str:
    value = f"json_extract(record, {place})"
    is_one = f"json_type(record, {place}) = 'text' AND {value} GLOB '[0-9][0-9][0-9][0-9]-[01][0-9]-[0-3][0-9]*'"
    return f"CASE WHEN {is_one} THEN strftime({shown}, {value}) END"


def _expiry() -> str:
    return (
        f"CASE WHEN typeof(expires_at) IN ('real', 'integer') THEN strftime({_TIME}, expires_at, 'unixepoch') END"
    )


_READERS: Final[dict[str, Callable[[str], str]]] = {
    "text": _text,
    "number": _number,
    "flag": _flag,
    "length": _length,
    "time": lambda place: _moment(place, _TIME),
    "date": lambda place: _moment(place, "'%Y-%m-%d'"),
}


def create(db: sqlite3.Connection, views: tuple[View, ...] | None) -> list[str]:
    """Make the views, in place of those that an earlier call made; return their names.

    Raises:
        StoreUnavailableError: something else has one of the names; nothing was changed.
        NotStartedError: another connection holds the write lock.
    """
    wanted = view_statements(views)
    take_write_lock(db)
    try:
        for name in _ours(db, wanted):
            db.execute(f"DROP VIEW {name}")
        for statement in wanted.values():
            db.execute(statement)
        db.execute("COMMIT")
    except BaseException:
        db.execute("ROLLBACK")
        raise
    return list(wanted)


def drop(db: sqlite3.Connection, views: tuple[View, ...] | None) -> list[str]:
    """Remove the views that `create` made; return their names."""
    names = view_statements(views)
    take_write_lock(db)
    try:
        there = _ours(db, names)
        for name in there:
            db.execute(f"DROP VIEW {name}")
        db.execute("COMMIT")
    except BaseException:
        db.execute("ROLLBACK")
        raise
    return there


def _ours(db: sqlite3.Connection, wanted: dict[str, str]) -> list[str]:
    rows = db.execute("SELECT name, type, sql FROM sqlite_master").fetchall()
    found = {name.decode().lower(): (kind, sql or b"") for name, kind, sql in rows}
    for name in wanted:
        kind, sql = found.get(name, (b"view", _MARK.encode()))
        if kind != b"view" or _MARK.encode() not in sql:
            raise StoreUnavailableError(
                f"The file has a {kind.decode()} {name!r} that `views create` did not make. Nothing was changed; "
                "rename or drop it first."
            )
    return [name for name in wanted if name in found]
