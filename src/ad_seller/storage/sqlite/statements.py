"""The statements of the SQLite backend, as functions that run on the thread of one connection.

The table is that of older seller agents: ``kv_store(key TEXT PRIMARY KEY, value TEXT NOT NULL, expires_at REAL)``,
JSON text and epoch seconds, and the size of what we wrote (see `fields`). Either reads what the other writes.
"""

from __future__ import annotations

import math
import sqlite3
import time
from collections.abc import Iterator
from typing import Any

from ..driver.commit import Commit, Delete, Outcome, Put, Refused, Touch, Write
from ..driver.engine import MISSING, NO_EXPIRY
from ..driver.failures import NotStartedError
from ..driver.query import KeyQuery
from ..errors import CorruptValueError
from ..records.codec import decode
from ..records.expiry import Clock
from ..records.keys import check_key
from ..records.markers import KEEP
from .locks import is_locked, one_moment, take_write_lock
from .schema import has_expired

_Row = tuple[str, bytes, float | None, int]  #: key, value, when it expires, size

LIVE = "(expires_at IS NULL OR expires_at > :now)"

#: By position, here and below where it counts: binding by name costs a fifth more.
#: Whether it is over, `has_expired` tells: as a condition of SQL it costs a tenth more, and most never expire.
READ = "SELECT value, expires_at FROM kv_store WHERE key = ?"
_EXPIRED = "SELECT rowid FROM kv_store WHERE expires_at IS NOT NULL AND expires_at <= :now"
#: `LIVE` without a look at each row: two indexes hold all that it takes, in half the time beside values of 1.4 KB.
#: Each expired entry that is not swept yet costs, so there must be few; as a rule there is none.
_NOT_EXPIRED = f"(NOT EXISTS ({_EXPIRED}) OR rowid NOT IN ({_EXPIRED}))"
_FEW_EXPIRED = "SELECT 1 FROM kv_store WHERE expires_at IS NOT NULL AND expires_at <= :now LIMIT 1 OFFSET 100"

_READ_EXPIRY = f"SELECT expires_at FROM kv_store WHERE key = :key AND {LIVE}"  # noqa: S608

# A text parameter given as bytes keeps the exact UTF-8 and skips a decoding; CAST stores it as TEXT.
_PUT = """
    INSERT INTO kv_store (key, value, expires_at, size) VALUES (?, CAST(? AS TEXT), ?, ?)
    ON CONFLICT (key) DO UPDATE
    SET value = excluded.value, expires_at = excluded.expires_at, size = excluded.size"""
_PUT_KEEP = """
    INSERT INTO kv_store (key, value, size) VALUES (:key, CAST(:text AS TEXT), :size)
    ON CONFLICT (key) DO UPDATE SET value = excluded.value, size = excluded.size,
        expires_at = CASE WHEN expires_at > :now THEN expires_at END"""
_REPLACE = f"""
    UPDATE kv_store SET value = CAST(:text AS TEXT), size = :size, expires_at = :deadline
    WHERE key = :key AND CAST(value AS BLOB) = :expected AND {LIVE}"""  # noqa: S608
_REPLACE_KEEP = f"""
    UPDATE kv_store SET value = CAST(:text AS TEXT), size = :size
    WHERE key = :key AND CAST(value AS BLOB) = :expected AND {LIVE}"""  # noqa: S608
_DELETE = f"DELETE FROM kv_store WHERE key = :key AND {LIVE}"  # noqa: S608
_TOUCH = f"UPDATE kv_store SET expires_at = :deadline WHERE key = :key AND {LIVE}"  # noqa: S608
_SWEEP = """
    DELETE FROM kv_store WHERE key IN (
        SELECT key FROM kv_store WHERE expires_at IS NOT NULL AND expires_at <= :now LIMIT :rows)"""
_ANY_EXPIRED = "SELECT 1 FROM kv_store WHERE expires_at IS NOT NULL AND expires_at <= :now LIMIT 1"


def read_one(db: sqlite3.Connection, key: str, now: float) -> bytes | None:
    """Return the live text under ``key``."""
    row = db.execute(READ, (key,)).fetchone()
    return None if row is None or (row[1] is not None and has_expired(row[1], now)) else row[0]


def read(db: sqlite3.Connection, keys: list[str], now: float) -> list[bytes | None]:
    """Return the live texts under ``keys``, all of one moment."""
    with one_moment(db, len(keys)):
        return [read_one(db, key, now) for key in keys]


def read_within(db: sqlite3.Connection, keys: list[str], now: float, seconds: float) -> list[bytes | None] | None:
    """Do the same as `read`, or return None if it takes longer: large values, or a cold disk."""
    give_up = time.perf_counter() + seconds
    texts: list[bytes | None] = []
    with one_moment(db, len(keys)):
        for key in keys:
            texts.append(read_one(db, key, now))
            if time.perf_counter() > give_up:
                return None
    return texts


def remaining(db: sqlite3.Connection, keys: list[str], now: float) -> list[int]:
    """Return the milliseconds that each entry has left, rounded up."""
    rows = [db.execute(_READ_EXPIRY, {"key": key, "now": now}).fetchone() for key in keys]
    return [MISSING if row is None else _milliseconds(row[0], now) for row in rows]


def _milliseconds(expires_at: Any, now: float) -> int:
    if not isinstance(expires_at, int | float) or math.isinf(expires_at):
        return NO_EXPIRY  # null, or what a foreign writer put there and SQLite finds larger than any time
    return max(1, math.ceil((expires_at - now) * 1000))


def apply(db: sqlite3.Connection, commits: list[Commit], clock: Clock) -> list[Outcome | Exception]:
    """Apply many commits in one transaction, each judged by itself.

    If one of them makes SQLite fail, everything is rolled back and each is tried alone, so that only the one
    at fault fails.

    Raises:
        NotStartedError: another connection holds the write lock.
    """
    take_write_lock(db)
    now = clock()  # not before the wait for the lock: what expired meanwhile is gone
    try:
        outcomes = _apply_all(db, commits, now)
        db.execute("COMMIT")
    except BaseException as error:
        if db.in_transaction:
            db.execute("ROLLBACK")
        if not isinstance(error, sqlite3.Error):
            raise
        return [error] if len(commits) == 1 else [_apply_alone(db, commit, clock) for commit in commits]
    return outcomes


def _apply_all(db: sqlite3.Connection, commits: list[Commit], now: float) -> list[Outcome | Exception]:
    """Apply one after the other; neighbours that only put one entry each go to SQLite together."""
    outcomes: list[Outcome | Exception] = []
    rows: list[_Row] = []
    for commit in commits:
        row = _lone_row(commit, now)
        if row is not None:
            rows.append(row)
            outcomes.append([True])
            continue
        if rows:
            db.executemany(_PUT, rows)
            rows = []
        outcomes.append(_apply_one(db, commit, now))
    if rows:
        db.executemany(_PUT, rows)
    return outcomes


def _lone_row(commit: Commit, now: float) -> _Row | None:
    """Return the parameters of `_PUT` if one entry is all that is put, whatever stands there."""
    expectations, writes = commit
    if expectations or len(writes) != 1 or not isinstance(put := writes[0], Put):
        return None
    key, text, ttl_ms = put
    return None if ttl_ms is KEEP else (key, text, _deadline(ttl_ms, now), len(text))


def _apply_alone(db: sqlite3.Connection, commit: Commit, clock: Clock) -> Outcome | Exception:
    try:
        return apply(db, [commit], clock)[0]
    except (NotStartedError, sqlite3.Error) as error:
        return error


def _apply_one(db: sqlite3.Connection, commit: Commit, now: float) -> Outcome:
    if len(commit.writes) == len(commit.expectations) == 1:
        [expect], [write] = commit
        if isinstance(write, Put) and isinstance(expect.text, bytes) and write.key == expect.key:
            return [True] if _replace(db, expect.text, write, now) else Refused(expect.key)
    for key, text in commit.expectations:
        if read_one(db, key, now) != text:
            return Refused(key)
    return [_write(db, write, now) for write in commit.writes]


def _replace(db: sqlite3.Connection, expected: bytes, put: Put, now: float) -> bool:
    """Do what `update` asks for in one statement: as two, it costs half as much again."""
    parameters = {"key": put.key, "text": put.text, "size": len(put.text), "expected": expected, "now": now}
    if put.ttl_ms is KEEP:
        return db.execute(_REPLACE_KEEP, parameters).rowcount > 0
    return db.execute(_REPLACE, parameters | {"deadline": _deadline(put.ttl_ms, now)}).rowcount > 0


def _write(db: sqlite3.Connection, write: Write, now: float) -> bool:
    match write:
        case Put(key, text, ttl_ms):
            if ttl_ms is KEEP:
                db.execute(_PUT_KEEP, {"key": key, "text": text, "size": len(text), "now": now})
            else:
                db.execute(_PUT, (key, text, _deadline(ttl_ms, now), len(text)))
            return True
        case Touch(key, ttl_ms):
            parameters = {"key": key, "deadline": _deadline(ttl_ms, now), "now": now}
            return db.execute(_TOUCH, parameters).rowcount > 0
        case Delete(key):
            return db.execute(_DELETE, {"key": key, "now": now}).rowcount > 0


def _deadline(ttl_ms: int | None, now: float) -> float | None:
    return None if ttl_ms is None else now + ttl_ms / 1000


def keys(db: sqlite3.Connection, span: KeyQuery, now: float, prefix: str = "") -> list[str]:
    """Return the live keys of ``span``, sorted, without ``prefix``, with which all of them begin."""
    found = _in_one_array(db, span, now, prefix) if span.exact else None  # a pattern has to look at each
    return [key[len(prefix) :] for key, _ in _matching(db, "key, NULL", span, now)] if found is None else found


def _in_one_array(db: sqlite3.Connection, span: KeyQuery, now: float, prefix: str) -> list[str] | None:
    """Return the keys by way of JSON; None if foreign writers have left names that are no keys.

    SQLite cuts the prefix of a namespace, of which nothing is escaped in JSON, from all keys but the first: within
    a key a quotation mark comes after a backslash, never after a comma.
    """
    inner, parameters = select("key", span, now, _NOT_EXPIRED if _has_few_expired(db, now) else LIVE)
    array_of = "replace(json_group_array(key), :with, :without)" if prefix else "json_group_array(key)"
    parameters |= {"with": f',"{prefix}', "without": ',"'}
    try:
        [array] = db.execute(f"SELECT {array_of} FROM ({inner})", parameters).fetchone()  # noqa: S608
        if prefix and len(array) > len("[]"):
            array = b'["' + array[len(f'["{prefix}') :]
        found: list[str] = decode(array)
    except (sqlite3.OperationalError, CorruptValueError):
        return None
    return None if found[:1] == [""] or b"\\u0000" in array else found


def entries(db: sqlite3.Connection, span: KeyQuery, now: float) -> list[tuple[str, bytes]]:
    """Return the live entries of ``span``, sorted by key."""
    if not span.exact:
        return list(_matching(db, "key, value", span, now))
    statement, parameters = select("key, value", span, now)
    rows = db.execute(statement, parameters).fetchall()
    found = [(key, text) for raw, text in rows if (key := own_key(raw)) is not None]
    if span.limit is not None and len(found) < len(rows):
        return list(_matching(db, "key, value", span, now))  # names of foreign writers took places of ours
    return found


def own_key(raw: Any) -> str | None:
    """Return the key, or None for a name that a foreign writer chose and that no key of ours can be."""
    try:
        return check_key(raw.decode())
    except (ValueError, AttributeError):
        return None


def _matching(db: sqlite3.Connection, columns: str, span: KeyQuery, now: float) -> Iterator[tuple[str, Any]]:
    statement, parameters = select(columns, span, now)
    left = -1 if span.limit is None else span.limit
    for raw, text in db.execute(statement, {**parameters, "limit": -1}):
        key = own_key(raw)
        if left != 0 and key is not None and span.has(key):
            left -= 1
            yield key, text
        if left == 0:
            return


def _has_few_expired(db: sqlite3.Connection, now: float) -> bool:
    return db.execute(_FEW_EXPIRED, {"now": now}).fetchone() is None


def select(
    columns: str,
    span: KeyQuery,
    now: float,
    live: str = LIVE,
    *,
    among: str = "",
    index: str = "",
    where: str = "",
    is_sorted: bool = True,
) -> tuple[str, dict[str, Any]]:
    """Return a statement over the range of ``span``, and its parameters; its parts are constants.

    Args:
        columns: what to select.
        span: the keys. One that others left as a BLOB is greater than any text, and leads no cursor on: left out.
        now: seconds since the epoch.
        live: the condition for what has not expired.
        among: a query of row ids, where an index has told them; the index of the keys is not used then.
        index: the index to be used; "" for that of the keys.
        where: a further condition.
        is_sorted: False: the rows come in any order.
    """
    by = "+key" if among else "key"
    lower = f"{by} > :start" if span.is_after_start else f"{by} >= :start"
    upper = f"AND {by} < " + ("x''" if span.stop is None else ":stop")
    rows = f"AND rowid IN ({among})" if among else f"AND {where}" if where else ""
    table = f"kv_store INDEXED BY {index}" if index else "kv_store"
    order = f"ORDER BY key {'DESC' if span.reverse else ''}" if is_sorted else ""
    given = {"start": span.start, "stop": span.stop, "now": now, "limit": -1 if span.limit is None else span.limit}
    return f"SELECT {columns} FROM {table} WHERE {lower} {upper} {rows} AND {live} {order} LIMIT :limit", given  # noqa: S608


def sweep(db: sqlite3.Connection, rows: int, now: float) -> int:
    """Remove at most ``rows`` expired entries; 0 if there are none or the lock is taken."""
    if db.execute(_ANY_EXPIRED, {"now": now}).fetchone() is None:
        return 0
    try:
        return db.execute(_SWEEP, {"now": now, "rows": rows}).rowcount
    except sqlite3.OperationalError as error:
        if is_locked(error):
            return 0
        raise
