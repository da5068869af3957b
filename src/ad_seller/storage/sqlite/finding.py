"""Searches: which of the ways to the records is taken, on the thread of one connection."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from typing import Any, Final

from ..driver.query import KeyQuery
from . import statements as sql
from .fields import Narrowing

#: So many records that an index has found are put into order faster than a page of them is looked for by the keys.
_FEW: Final = 2_000

#: Entries that are looked at in the order of their keys before all that an index has found are sorted.
_WALKED: Final = 10_000


def find(db: sqlite3.Connection, span: KeyQuery, now: float, narrowing: Narrowing) -> list[tuple[str, bytes]]:
    """Return the live entries of ``span`` that fulfil its conditions, sorted; all of one moment.

    A page of few is read by the index; the first page of many by the keys, as long as enough of them come soon.
    """
    if span.limit is None:
        rows = _candidates(db, span, now, narrowing) if narrowing.name else _in_order(db, span, now)
        return [(key, text) for key, text in rows if span.has(key)]
    with sql.one_moment(db):
        if not narrowing.name:
            return _taken(_in_order(db, span, now), span)
        if not _are_few(db, narrowing):
            found, is_all = _walked(db, span, now)
            if is_all:
                return found
        return _taken(_candidates(db, span, now, narrowing), span)


def _taken(rows: Iterator[tuple[str, Any]], span: KeyQuery) -> list[tuple[str, bytes]]:
    found: list[tuple[str, bytes]] = []
    for key, text in rows:
        if span.takes(key, text):
            found.append((key, text))
            if len(found) == span.limit:
                break
    return found


def _walked(db: sqlite3.Connection, span: KeyQuery, now: float) -> tuple[list[tuple[str, bytes]], bool]:
    """Return what some steps along the keys find, and whether that is all that is wanted."""
    found: list[tuple[str, bytes]] = []
    steps = 0
    for key, text in _in_order(db, span, now, _WALKED):
        steps += 1
        if span.takes(key, text):
            found.append((key, text))
            if len(found) == span.limit:
                return found, True
    return found, steps < _WALKED


def _are_few(db: sqlite3.Connection, narrowing: Narrowing) -> bool:
    statement = f"SELECT count(*) FROM ({narrowing.candidates} LIMIT {_FEW + 1})"  # noqa: S608 - our own parts
    [count] = db.execute(statement, narrowing.parameters).fetchone()
    return int(count) <= _FEW


def _in_order(db: sqlite3.Connection, span: KeyQuery, now: float, limit: int = -1) -> Iterator[tuple[str, Any]]:
    statement, parameters = sql.select("key, value", span, now)
    yield from _own(db.execute(statement, {**parameters, "limit": limit}))


def _candidates(
    db: sqlite3.Connection, span: KeyQuery, now: float, narrowing: Narrowing
) -> Iterator[tuple[str, Any]]:
    statement, parameters = sql.select("key, value", span, now, among=narrowing.candidates)
    yield from _own(db.execute(statement, {**parameters, **narrowing.parameters, "limit": -1}))


def _own(rows: sqlite3.Cursor) -> Iterator[tuple[str, Any]]:
    for raw, text in rows:
        key = sql.own_key(raw)
        if key is not None:
            yield key, text
