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
_WALKED: Final = 20
_LEAST_WALKED: Final = 1_000

_SPARE: Final = 32  #: more than are wanted, because some that an index has found do not match


def find(db: sqlite3.Connection, span: KeyQuery, now: float, narrowing: Narrowing) -> list[tuple[str, bytes]]:
    """Return the live entries of ``span`` that fulfil its conditions, sorted; all of one moment.

    A page of few is read by the index; the first page of many by the keys, as long as enough of them come soon.
    """
    if span.limit is None:
        rows = _own(_candidates(db, span, now, narrowing)) if narrowing.name else _in_order(db, span, now)
        return [(key, text) for key, text in rows if span.has(key)]
    with one_moment(db):
        if not narrowing.name:
            return _taken(_in_order(db, span, now), span)
        if not _are_few(db, narrowing, max(_FEW * span.limit, _LEAST_FEW)):
            found, is_all = _walked(db, span, now, max(_WALKED * span.limit, _LEAST_WALKED))
            if is_all:
                return found
        return _sorted(db, span, now, narrowing)


def _sorted(db: sqlite3.Connection, span: KeyQuery, now: float, narrowing: Narrowing) -> list[tuple[str, bytes]]:
    """Sort what the index has found; SQLite keeps no more of them than it is asked for."""
    found: list[tuple[str, bytes]] = []
    wanted = span.limit or 0
    while True:
        many = wanted - len(found) + _SPARE
        rows = _candidates(db, span, now, narrowing, many).fetchall()
        own = list(_own(rows))
        if len(own) < len(rows):  # names of foreign writers took places of ours
            return found + _taken(
                _own(_candidates(db, span, now, narrowing)), replace(span, limit=wanted - len(found))
            )
        found += _taken(iter(own), replace(span, limit=wanted - len(found)))
        if len(rows) < many or len(found) == wanted:
            return found
        span = replace(span, after=own[-1][0])


def _taken(rows: Iterator[tuple[str, Any]], span: KeyQuery) -> list[tuple[str, bytes]]:
    found: list[tuple[str, bytes]] = []
    for key, text in rows:
        if span.takes(key, text):
            found.append((key, text))
            if len(found) == span.limit:
                break
    return found


def _walked(db: sqlite3.Connection, span: KeyQuery, now: float, most: int) -> tuple[list[tuple[str, bytes]], bool]:
    """Return what some steps along the keys find, and whether that is all that is wanted."""
    steps = 0

    def counted(rows: Iterable[tuple[Any, Any]]) -> Iterator[tuple[Any, Any]]:
        nonlocal steps
        for row in rows:
            steps += 1
            yield row

    statement, parameters = sql.select("key, value", span, now)
    found = _taken(_own(counted(db.execute(statement, {**parameters, "limit": most}))), span)
    return found, len(found) == span.limit or steps < most


def _are_few(db: sqlite3.Connection, narrowing: Narrowing, most: int) -> bool:
    statement = f"SELECT count(*) FROM ({narrowing.candidates} LIMIT {most + 1})"  # noqa: S608 - our own parts
    [count] = db.execute(statement, narrowing.parameters).fetchone()
    return int(count) <= most


def _in_order(db: sqlite3.Connection, span: KeyQuery, now: float) -> Iterator[tuple[str, Any]]:
    statement, parameters = sql.select("key, value", span, now)
    yield from _own(db.execute(statement, {**parameters, "limit": -1}))


def _candidates(
    db: sqlite3.Connection, span: KeyQuery, now: float, narrowing: Narrowing, limit: int = -1
) -> sqlite3.Cursor:
    statement, parameters = sql.select("key, value", span, now, among=narrowing.candidates)
    return db.execute(statement, {**parameters, **narrowing.parameters, "limit": limit})


def _own(rows: Iterable[tuple[Any, Any]]) -> Iterator[tuple[str, Any]]:
    for raw, text in rows:
        key = sql.own_key(raw)
        if key is not None:
            yield key, text
