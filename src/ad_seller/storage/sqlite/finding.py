"""Searches: which of the ways to the records is taken, on the thread of one connection."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Iterator
from dataclasses import replace
from typing import Any, Final

from ..driver.query import KeyQuery
from . import statements as sql
from .fields import Narrowing
from .locks import one_moment

#: Records that an index has found, for each one that is wanted, up to which they are sorted at once.
_FEW: Final = 4
_LEAST_FEW: Final = 200

#: Entries that are looked at in the order of their keys, for each one that is wanted, before all that an index has
#: found are sorted: a value that many records have is soon met.
_WALKED: Final = 50
_LEAST_WALKED: Final = 2_500

_SPARE: Final = 32  #: more than are wanted, because some that an index has found do not match

Row = tuple[str, Any, Any]  #: key, text, and the size that the text had when we wrote it


def find(db: sqlite3.Connection, span: KeyQuery, now: float, narrowing: Narrowing) -> list[tuple[str, bytes]]:
    """Return the live entries of ``span`` that fulfil its conditions, sorted; all of one moment.

    A page of few is read by the index; the first page of many by the keys, as long as enough of them come soon.
    """
    if span.limit is None:
        rows = _own(_candidates(db, span, now, narrowing)) if narrowing.name else _in_order(db, span, now)
        return [(key, text) for key, text, _ in rows if span.has(key)]
    with one_moment(db):
        if not narrowing.name:
            return _taken(_in_order(db, span, now), span, narrowing)
        if not _are_few(db, narrowing, max(_FEW * span.limit, _LEAST_FEW)):
            found = _walked(db, span, now, narrowing, max(_WALKED * span.limit, _LEAST_WALKED))
            if len(found) == span.limit:
                return found
        return _sorted(db, span, now, narrowing)


def _sorted(db: sqlite3.Connection, span: KeyQuery, now: float, narrowing: Narrowing) -> list[tuple[str, bytes]]:
    """Sort what the index has found; SQLite keeps no more of them than it is asked for."""
    found: list[tuple[str, bytes]] = []
    wanted = span.limit or 0
    while True:
        many = wanted - len(found) + (0 if narrowing.is_all else _SPARE)
        rows = _candidates(db, span, now, narrowing, many).fetchall()
        own = list(_own(rows))
        missing = replace(span, limit=wanted - len(found))
        if len(own) < len(rows):  # names of foreign writers took places of ours
            return found + _taken(_own(_candidates(db, span, now, narrowing)), missing, narrowing)
        found += _taken(own, missing, narrowing)
        if len(rows) < many or len(found) == wanted:
            return found
        span = replace(span, after=own[-1][0])


def _taken(rows: Iterable[Row], span: KeyQuery, narrowing: Narrowing) -> list[tuple[str, bytes]]:
    """Return what fulfils the conditions, as many as are wanted; what is certain is not decoded for it."""
    found: list[tuple[str, bytes]] = []
    for key, text, size in rows:
        if (narrowing.is_all and _is_plain(text, size)) or span.takes(key, text):
            found.append((key, text))
            if len(found) == span.limit:
                break
    return found


def _is_plain(text: Any, size: Any) -> bool:
    """Tell whether SQLite and Python surely read the same in a text: we wrote it, and without escapes."""
    return isinstance(text, bytes) and len(text) == size and b"\\u" not in text


def _walked(
    db: sqlite3.Connection, span: KeyQuery, now: float, narrowing: Narrowing, most: int
) -> list[tuple[str, bytes]]:
    """Return what some steps along the keys find; the index tells of each whether it may match.

    Nothing if another process has dropped the index.
    """
    ids, parameters = sql.select("rowid AS id", replace(span, limit=most), now, "TRUE")
    statement = (
        f"SELECT v.key, v.value, v.size FROM ({ids}) AS e CROSS JOIN kv_store AS v ON v.rowid = e.id "  # noqa: S608
        f"WHERE {narrowing.test} AND {sql.LIVE}"
    )
    try:
        rows = db.execute(statement, {**parameters, **narrowing.parameters})
        return _taken(_own(rows), span, narrowing)
    except sqlite3.OperationalError as error:
        if "no such index" in str(error) or "no query solution" in str(error):
            return []
        raise


def _are_few(db: sqlite3.Connection, narrowing: Narrowing, most: int) -> bool:
    statement = f"SELECT count(*) FROM ({narrowing.candidates} LIMIT {most + 1})"  # noqa: S608 - our own parts
    [count] = db.execute(statement, narrowing.parameters).fetchone()
    return int(count) <= most


def _in_order(db: sqlite3.Connection, span: KeyQuery, now: float) -> Iterator[Row]:
    statement, parameters = sql.select("key, value, size", span, now)
    yield from _own(db.execute(statement, {**parameters, "limit": -1}))


def _candidates(
    db: sqlite3.Connection, span: KeyQuery, now: float, narrowing: Narrowing, limit: int = -1
) -> sqlite3.Cursor:
    statement, parameters = sql.select("key, value, size", span, now, among=narrowing.candidates)
    return db.execute(statement, {**parameters, **narrowing.parameters, "limit": limit})


def _own(rows: Iterable[tuple[Any, Any, Any]]) -> Iterator[Row]:
    for raw, text, size in rows:
        key = sql.own_key(raw)
        if key is not None:
            yield key, text, size
