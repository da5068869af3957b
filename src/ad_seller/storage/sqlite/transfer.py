"""Whole stores, page by page, on SQLite; functions that run on the thread of one connection."""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from itertools import repeat
from typing import Any

from ..driver.query import KeyQuery
from ..driver.transfer import PAGE_BYTES, PAGE_ENTRIES, StoredEntry, deadline_of, stored_entries
from ..records.expiry import Clock
from ..records.globs import prefix_glob
from . import statements
from .locks import one_moment, take_write_lock
from .schema import has_expired

_STORE = """
    INSERT INTO kv_store (key, value, expires_at, size) VALUES (:key, CAST(:text AS TEXT), :deadline, :size)
    ON CONFLICT (key) DO UPDATE
    SET value = excluded.value, expires_at = excluded.expires_at, size = excluded.size"""
_STORE_UNLESS_THERE = f"{_STORE} WHERE expires_at <= :now OR CAST(value AS BLOB) = :expected"


def count(db: sqlite3.Connection, query: KeyQuery, now: float) -> int:
    """Return how many rows a query has."""
    statement, parameters = statements.select("key", query, now)
    [number] = db.execute(f"SELECT count(*) FROM ({statement})", parameters).fetchone()  # noqa: S608
    return int(number)


def page(db: sqlite3.Connection, place: tuple[str, str | None], now: float) -> list[StoredEntry]:
    """Return the entries of one page; ``place`` is a prefix, and the key after which they come."""
    prefix, after = place
    statement, parameters = statements.select("key, value, expires_at", KeyQuery(prefix_glob(prefix), after), now)
    found: list[tuple[str, bytes, int | None]] = []
    size = 0
    for raw, text, expires_at in db.execute(statement, parameters):
        key = statements.own_key(raw)
        if key is None:
            continue
        text = _text(text)
        found.append((key, text, None if expires_at is None else _deadline(expires_at)))
        size += len(text)
        if size >= PAGE_BYTES or len(found) == PAGE_ENTRIES:
            break
    return stored_entries(found)


def entries_at(db: sqlite3.Connection, keys: Sequence[str], now: float) -> list[StoredEntry]:
    """Return the entries under ``keys``, in their order, all of one moment."""
    with one_moment(db, len(keys)):
        rows = [(key, db.execute(statements.READ, (key,)).fetchone()) for key in keys]
    return [
        StoredEntry(key, _text(row[0]), _deadline(row[1]))
        for key, row in rows
        if row is not None and (row[1] is None or not has_expired(row[1], now))
    ]


def store(
    db: sqlite3.Connection, entries: Sequence[StoredEntry], expected: Sequence[bytes | None] | None, clock: Clock
) -> list[bool]:
    """Store entries in one transaction; see `Engine.store`."""
    statement = _STORE if expected is None else _STORE_UNLESS_THERE
    take_write_lock(db)
    now = clock()
    try:
        stored = [
            db.execute(statement, _parameters(entry, now, wanted)).rowcount > 0
            for entry, wanted in zip(entries, expected or repeat(None), strict=False)
        ]
        db.execute("COMMIT")
    except BaseException:
        if db.in_transaction:
            db.execute("ROLLBACK")
        raise
    return stored


def _parameters(entry: StoredEntry, now: float, expected: bytes | None) -> dict[str, Any]:
    return {
        "key": entry.key,
        "text": entry.text,
        "deadline": None if entry.deadline is None else entry.deadline / 1000,
        "size": len(entry.text),
        "now": now,
        "expected": expected,
    }


def _text(value: Any) -> bytes:
    return value if isinstance(value, bytes) else str(value).encode()


def _deadline(expires_at: Any) -> int | None:
    """Return the deadline; what a foreign writer put there, and is no number, is none."""
    return deadline_of(expires_at) if isinstance(expires_at, int | float) else None
