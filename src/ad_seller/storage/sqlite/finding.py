"""Searches: which of the ways to the records is taken, on the thread of one connection."""

from __future__ import annotations

import heapq
import sqlite3
from collections.abc import Iterable, Iterator
from operator import itemgetter
from typing import Any, Final

from ..driver.query import KeyQuery, say_how
from . import statements as sql
from .locks import one_moment
from .narrowing import Narrowing

#: Records that an index has found, for each one that is wanted, up to which they are sorted at once.
_FEW: Final = 4
_LEAST_FEW: Final = 200

#: Entries that are looked at in the order of their keys, for each one that is wanted, before all that an index has
#: found are sorted: a value that many records have is soon met.
_WALKED: Final = 50
_LEAST_WALKED: Final = 2_500

#: Records up to which a search without a limit is sorted in Python, after SQLite has found them: its own sorter
#: takes an eighth of a search that finds a hundred (docs/benchmarks/limits.md). More would hold up the event loop.
_SORTED_HERE: Final = 1_000

_SPARE: Final = 32  #: more than are wanted, because some that an index has found do not match

_COLUMNS: Final = "key, value, size"

_Raw = tuple[Any, Any, Any]  #: the same, the key as it is stored
Row = tuple[str, Any, Any]  #: key, text, and the size that the text had when we wrote it


def find(
    db: sqlite3.Connection, span: KeyQuery, now: float, narrowings: list[Narrowing]
) -> list[tuple[str, bytes]]:
    """Return the live entries of ``span`` that fulfil its conditions, sorted; all of one moment."""
    narrowing = _best(db, narrowings, span)
    say_how(span, None if narrowing is None else narrowing.name)
    if span.limit is None:
        rows = _in_order(db, span, now) if narrowing is None else _own(_all(db, span, now, narrowing))
        return [(key, text) for key, text, _ in rows if span.has(key)]
    with one_moment(db):
        if narrowing is None:
            return _taken(_in_order(db, span, now), span)
        return _page(db, span, now, narrowing)


def _best(db: sqlite3.Connection, narrowings: list[Narrowing], span: KeyQuery) -> Narrowing | None:
    """Return the one that knows of the fewest rows; to tell costs little more than to count those.

    For a page it is not asked how many there are of many: a page of them is soon full.
    """
    if len(narrowings) < 2:
        return narrowings[0] if narrowings else None
    most = max(_LEAST_FEW, 1)
    while True:
        for narrowing in narrowings:
            if _are_few(db, narrowing, most):
                return narrowing
        most *= 8
        if span.limit is not None and most > _LEAST_WALKED:
            return narrowings[0]


def _page(db: sqlite3.Connection, span: KeyQuery, now: float, narrowing: Narrowing) -> list[tuple[str, bytes]]:
    """Read a page in the order of the index, if that is the order of the keys.

    With other indexes few are sorted, and of many the first page is read by the keys, as long as enough come soon.
    """
    assert span.limit is not None  # noqa: S101 - for the type checker
    if narrowing.is_sorted and (rows := _by_index(db, span, now, narrowing)) is not None:
        return _taken(_own(rows), span, narrowing)
    if not _are_few(db, narrowing, max(_FEW * span.limit, _LEAST_FEW)):
        found = _walked(db, span, now, narrowing, max(_WALKED * span.limit, _LEAST_WALKED))
        if len(found) == span.limit:
            return found
    return _sorted(db, span, now, narrowing)


def _by_index(db: sqlite3.Connection, span: KeyQuery, now: float, narrowing: Narrowing) -> Iterable[_Raw] | None:
    """Return the rows that may match as the index has them, read as far as is asked for; None if it was dropped."""
    statement, parameters = sql.select(_COLUMNS, span, now, index=narrowing.name, where=narrowing.where)
    parameters |= narrowing.parameters
    try:
        found = db.execute(statement, {**parameters, "limit": -1})
    except sqlite3.OperationalError as error:
        if _is_without_index(error):
            return None
        raise
    statement, _ = sql.select(_COLUMNS, span, now, among=narrowing.odd)
    odd = db.execute(statement, {**parameters, "limit": -1}).fetchall()
    return _merged(found, odd, reverse=span.reverse) if odd else found


def _merged(found: Iterable[_Raw], odd: list[_Raw], *, reverse: bool) -> Iterator[_Raw]:
    """Yield both in the order of their keys, each row once."""
    last = None
    for row in heapq.merge(found, odd, key=itemgetter(0), reverse=reverse):
        if row[0] != last:
            yield row
        last = row[0]


def _sorted(db: sqlite3.Connection, span: KeyQuery, now: float, narrowing: Narrowing) -> list[tuple[str, bytes]]:
    """Sort what the index has found; SQLite keeps no more of them than it is asked for."""
    found: list[tuple[str, bytes]] = []
    wanted = span.limit or 0
    many = wanted + (0 if narrowing.is_all else _SPARE)
    while True:
        rows = _candidates(db, span, now, narrowing, many).fetchall()
        own = list(_own(rows))
        missing = span.up_to(wanted - len(found))
        if len(own) < len(rows):  # names of foreign writers took places of ours
            return found + _taken(_own(_candidates(db, span, now, narrowing)), missing, narrowing)
        found += _taken(own, missing, narrowing)
        if len(rows) < many or len(found) == wanted:
            return found
        span = span.beyond(own[-1][0])
        many *= 8  # each time all candidates are looked at


def _taken(rows: Iterable[Row], span: KeyQuery, narrowing: Narrowing | None = None) -> list[tuple[str, bytes]]:
    """Return what fulfils the conditions, as many as are wanted; what is certain is not decoded for it."""
    found: list[tuple[str, bytes]] = []
    is_all = narrowing is not None and narrowing.is_all
    for key, text, size in rows:
        if (is_all and _is_plain(text, size)) or span.takes(key, text):
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
    ids, parameters = sql.select("rowid AS id", span.up_to(most), now, "TRUE")
    statement = (
        f"SELECT v.key, v.value, v.size FROM ({ids}) AS e CROSS JOIN kv_store AS v ON v.rowid = e.id "  # noqa: S608
        f"WHERE {narrowing.test} AND {sql.LIVE}"
    )
    try:
        rows = db.execute(statement, {**parameters, **narrowing.parameters})
        return _taken(_own(rows), span, narrowing)
    except sqlite3.OperationalError as error:
        if _is_without_index(error):
            return []
        raise


def _is_without_index(error: sqlite3.OperationalError) -> bool:
    return "no such index" in str(error) or "no query solution" in str(error)


def _are_few(db: sqlite3.Connection, narrowing: Narrowing, most: int) -> bool:
    statement = f"SELECT count(*) FROM ({narrowing.candidates} LIMIT {most + 1})"  # noqa: S608 - our own parts
    [count] = db.execute(statement, narrowing.parameters).fetchone()
    return int(count) <= most


def _in_order(db: sqlite3.Connection, span: KeyQuery, now: float) -> Iterator[Row]:
    statement, parameters = sql.select(_COLUMNS, span, now)
    yield from _own(db.execute(statement, {**parameters, "limit": -1}))


def _all(db: sqlite3.Connection, span: KeyQuery, now: float, narrowing: Narrowing) -> Iterable[_Raw]:
    """Return what the index has found, sorted."""
    if not _are_few(db, narrowing, _SORTED_HERE):
        return _candidates(db, span, now, narrowing)
    rows = _candidates(db, span, now, narrowing, is_sorted=False).fetchall()
    rows.sort(key=itemgetter(0), reverse=span.reverse)
    return rows


def _candidates(
    db: sqlite3.Connection,
    span: KeyQuery,
    now: float,
    narrowing: Narrowing,
    limit: int = -1,
    *,
    is_sorted: bool = True,
) -> sqlite3.Cursor:
    statement, parameters = sql.select(_COLUMNS, span, now, among=narrowing.candidates, is_sorted=is_sorted)
    return db.execute(statement, {**parameters, **narrowing.parameters, "limit": limit})


def _own(rows: Iterable[_Raw]) -> Iterator[Row]:
    for raw, text, size in rows:
        key = sql.own_key(raw)
        if key is not None:
            yield key, text, size
