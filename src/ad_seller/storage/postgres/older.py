"""The table of an older agent as it is, to be copied from: nothing is set up or taken over in its database.

Its keys are in the order of the database's own collation, and no index has them in ours. So the keys are sorted
once, by a cursor that stays open, and the values are read page by page, as they are by then.
"""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Sequence
from typing import Any, Final

from ..driver.engine import Engine
from ..driver.query import KeyQuery
from ..driver.transfer import PAGE_BYTES, PAGE_ENTRIES, StoredEntry, deadline_of
from ..errors import InvalidKeyError, MissingStoreError, redact
from ..records.globs import successor
from ..records.keys import check_key
from .backend import PostgresBackend
from .engine import PostgresEngine
from .statements import TABLE
from .takeover import OLD_TABLE

_PATIENCE: Final = 600.0  #: seconds in which the server has sorted all keys
_ARE_THERE: Final = "SELECT to_regclass($1) IS NOT NULL, to_regclass($2) IS NOT NULL"
_KEYS: Final = f"""
    DECLARE older NO SCROLL CURSOR FOR SELECT key, pg_column_size(value) FROM {OLD_TABLE}
    WHERE key COLLATE "C" >= $1::text AND ($2::text IS NULL OR key COLLATE "C" < $2::text)
        AND ($3::text IS NULL OR key COLLATE "C" > $3::text)
    ORDER BY key COLLATE "C" """  # noqa: S608
_VALUES: Final = f"SELECT key, value::text, expires_at FROM {OLD_TABLE} WHERE key = ANY($1::text[])"  # noqa: S608
_COUNT: Final = "SELECT greatest(0, reltuples)::bigint FROM pg_class WHERE oid = to_regclass($1)"

Fetch = Callable[..., Awaitable[list[Any]]]


class OlderEngine(PostgresEngine):
    """Reads the older table."""

    async def open(self) -> None:
        """See `Engine.open`.

        Raises:
            MissingStoreError: there is no such table, or it was taken over.
        """

        async def look(fetch: Fetch) -> None:
            [[is_older, is_ours]] = await fetch(_ARE_THERE, OLD_TABLE, TABLE)
            if not is_older:
                raise MissingStoreError(f"There is no table of an agent in {redact(self._url)!r}, older or newer")
            if is_ours:
                raise MissingStoreError(
                    f"{redact(self._url)!r} has our table, too, into which {OLD_TABLE} was taken over: read that"
                )

        await self._client.open(look)

    async def estimate(self, query: KeyQuery) -> int | None:
        """See `Engine.estimate`: what the server believes."""
        [[number]] = await self._client.read(_COUNT, OLD_TABLE)
        return int(number)

    async def older_pages(self, prefix: str, after: str | None) -> AsyncIterator[list[StoredEntry]]:
        """Yield the live entries, page by page, sorted by key; see `BulkTransfer._entry_pages`."""
        async with self._client.borrowed(_PATIENCE) as fetch:
            await fetch("BEGIN READ ONLY")
            for setting in ("statement_timeout = 0", "enable_seqscan = on", "plan_cache_mode = auto"):
                await fetch(f"SET LOCAL {setting}")
            await fetch(_KEYS, prefix, successor(prefix), after)
            while rows := await fetch(f"FETCH {PAGE_ENTRIES} FROM older"):
                for keys in _parts(rows):
                    if page := await self.entries_at(keys):
                        yield page

    async def entries_at(self, keys: Sequence[str]) -> list[StoredEntry]:
        """See `Engine.entries_at`."""
        found = {row[0]: row for row in await self._client.read(_VALUES, list(keys))}
        now = time.time()
        return [
            StoredEntry(key, text.encode(), None if until is None else deadline_of(until))
            for key, text, until in (found[key] for key in keys if key in found)
            if _is_key(key) and not (until is not None and until <= now)
        ]


class OlderPostgres(PostgresBackend):
    """The table of an older agent, as a source of copies; no other call works on it."""

    @classmethod
    def of(cls, backend: PostgresBackend) -> OlderPostgres:
        """Return one with the settings of a backend, not connected."""
        older = cls.__new__(cls)
        older.__setstate__(backend.__getstate__())
        return older

    def __repr__(self) -> str:
        """Return the class and the address, without the password."""
        return f"OlderPostgres({redact(self.database_url)!r})"

    def _make_engine(self) -> Engine:
        return self._engine_of(OlderEngine)

    async def _entry_pages(self, prefix: str, after: str | None = None) -> AsyncIterator[list[StoredEntry]]:
        session = await self._here()
        assert isinstance(session.engine, OlderEngine)  # noqa: S101
        pages = session.engine.older_pages(prefix, after)
        while True:
            with self._guarded(await self._here(), "list", OLD_TABLE):
                page = await anext(pages, None)
            if page is None:
                return
            yield page


def _parts(rows: list[Any]) -> Iterator[list[str]]:
    """Yield the keys of the rows, so many at once as a page has bytes."""
    part: list[str] = []
    size = 0
    for key, value_size in rows:
        part.append(key)
        size += value_size
        if size >= PAGE_BYTES:
            yield part
            part, size = [], 0
    if part:
        yield part


def _is_key(key: str) -> bool:
    try:
        check_key(key)
    except InvalidKeyError:
        return False
    return True
