"""Whole stores, page by page, on PostgreSQL."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from typing import Any, Final

import asyncpg

from ..driver.query import KeyQuery
from ..driver.transfer import PAGE_BYTES, PAGE_ENTRIES, StoredEntry, stored_entries
from ..errors import InvalidValueError
from ..records.globs import prefix_glob
from . import statements as sql
from .client import PostgresClient

_EPOCH_MS: Final = "ceil(extract(epoch FROM expires_at) * 1000)::bigint"

#: Keys and deadlines of a page, cut where the texts before an entry are many bytes: their sizes cost no reading.
_PAGE: Final = f"""
    SELECT key, value, deadline FROM (
        SELECT key, value, {_EPOCH_MS} AS deadline,
            sum(octet_length(value)) OVER (ORDER BY key) - octet_length(value) AS before
        FROM (%s) AS part) AS sized
    WHERE before < {PAGE_BYTES} ORDER BY key"""  # noqa: S608

_AT: Final = f"SELECT key, value, {_EPOCH_MS} FROM {sql.TABLE} WHERE key = ANY($1::text[]) AND {sql.LIVE}"  # noqa: S608

_GIVEN: Final = "unnest($1::text[], $2::text[], $3::text[]) AS l(key, text, ms)"
_DEADLINE: Final = "'epoch'::timestamptz + l.ms::bigint * interval '1 millisecond'"
#: Refused as a whole if there is a row under one of the keys; with ON CONFLICT the server computes twice as long.
_STORE_NEW: Final = f"""
    INSERT INTO {sql.TABLE} AS t (key, value, expires_at)
    SELECT l.key, l.text, {_DEADLINE} FROM {_GIVEN} ORDER BY l.key COLLATE "C"
    """  # noqa: S608
_STORE: Final = f"""{_STORE_NEW}
    ON CONFLICT (key) DO UPDATE SET value = excluded.value, expires_at = excluded.expires_at"""
_STORE_WHERE_NONE: Final = f"{_STORE} WHERE t.expires_at <= clock_timestamp() RETURNING key"
_REPLACE: Final = f"""
    UPDATE {sql.TABLE} AS t SET value = l.text, expires_at = {_DEADLINE}
    FROM unnest($1::text[], $2::text[], $3::text[], $4::text[]) AS l(key, text, ms, expected)
    WHERE t.key = l.key AND t.value = l.expected AND (t.expires_at IS NULL OR t.expires_at > clock_timestamp())
    RETURNING t.key"""  # noqa: S608


async def page(client: PostgresClient, prefix: str, after: str | None) -> list[StoredEntry]:
    """Return the entries of one page; see `Engine.page`."""
    query = KeyQuery(prefix_glob(prefix), after)
    part, parameters = sql.select("key, value, expires_at", query, after, PAGE_ENTRIES)
    rows = await client.read(_PAGE % part, *parameters, cancellable=True)
    return stored_entries([(key, text.encode(), deadline) for key, text, deadline in rows])


async def entries_at(client: PostgresClient, keys: Sequence[str]) -> list[StoredEntry]:
    """Return the entries under ``keys``, in their order; see `Engine.entries_at`."""
    rows = {key: (text, deadline) for key, text, deadline in await client.read(_AT, list(keys), cancellable=True)}
    return [StoredEntry(key, rows[key][0].encode(), rows[key][1]) for key in keys if key in rows]


async def store(
    client: PostgresClient, entries: Sequence[StoredEntry], expected: Sequence[bytes | None] | None
) -> list[bool]:
    """Store entries; see `Engine.store`. With two kinds of condition they are two transactions."""
    columns = _columns(entries)
    if expected is None:
        await client.write(_STORE, *columns)
        return [True] * len(entries)
    stored: set[str] = set()
    if all(text is None for text in expected):  # most often there is nothing, not even what has expired
        with suppress(asyncpg.UniqueViolationError):
            await client.write(_STORE_NEW, *columns)
            return [True] * len(entries)
    else:
        texts = [None if text is None else text.decode() for text in expected]
        stored = {row[0] for row in await client.write(_REPLACE, *columns, texts)}
    if rest := [entry for entry in entries if entry.key not in stored]:
        left = _columns(rest) if stored else columns
        stored |= {row[0] for row in await client.write(_STORE_WHERE_NONE, *left)}
    return [entry.key in stored for entry in entries]


def _columns(entries: Sequence[StoredEntry]) -> list[Any]:
    """Return the entries as arrays of text, which asyncpg knows without asking.

    Raises:
        InvalidValueError: a text is one that no column of text holds.
    """
    texts: list[str] = []
    for entry in entries:
        if b"\0" in entry.text:
            raise _cannot_hold(entry.key, "has a NUL character in its text")
        try:
            texts.append(entry.text.decode())
        except UnicodeDecodeError as error:
            raise _cannot_hold(entry.key, "is no UTF-8") from error
    deadlines = [None if entry.deadline is None else str(entry.deadline) for entry in entries]
    return [[entry.key for entry in entries], texts, deadlines]


def _cannot_hold(key: str, what: str) -> InvalidValueError:
    return InvalidValueError(f"The value under {key!r} {what}; PostgreSQL cannot hold it", key=key)
