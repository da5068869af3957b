"""Listings of any size that show one moment."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from typing import Any

from ..concurrency.timeslice import TimeSlice
from ..driver.query import KeyQuery
from . import statements as sql
from .client import PostgresClient
from .fields import Search
from .indexes import FieldIndexes

_KEY_ROWS = 10_000  #: keys of one statement, so that no answer takes long
_ENTRY_ROWS = 1_000  #: entries, likewise
_REMEMBERED = 1_000  #: ranges at most

Fetch = Callable[..., Awaitable[list[Any]]]


class Listings:
    """Lists what one statement can carry with one statement, and more in a transaction that sees one moment.

    Args:
        client: of the server.
        indexes: of fields.
    """

    def __init__(self, client: PostgresClient, indexes: FieldIndexes) -> None:
        """Nothing is known yet."""
        self._client = client
        self._indexes = indexes
        self._large: set[str] = set()

    async def keys(self, query: KeyQuery) -> list[str]:
        """See `Engine.keys`."""

        def next_page(after: str | None, rows: int) -> tuple[str, list[Any]]:
            return sql.select("key", query, after, rows)

        pages = await self._pages(query, next_page, _KEY_ROWS, lambda rows: rows[0][0])
        found: list[str] = []
        for page in pages:
            found += page if query.exact else filter(query.has, page)
        return found if query.limit is None else found[: query.limit]

    async def entries(self, query: KeyQuery) -> list[tuple[str, bytes]]:
        """See `Engine.entries`."""
        search = await self._indexes.narrowest(query) if query.where else None

        def next_page(after: str | None, rows: int) -> tuple[str, list[Any]]:
            return _select(search, query, after, rows)

        pages = await self._pages(query, next_page, _ENTRY_ROWS, list)
        found: list[tuple[str, bytes]] = []
        pace = TimeSlice()
        for page in pages:
            found += [(key, text.encode()) for key, text in page if query.exact or query.has(key)]
            await pace.checkpoint()
        return found[: query.limit]

    async def count(self, query: KeyQuery) -> int:
        """See `Engine.count`."""
        if not query.exact:
            return len(await self.keys(query))
        statement, parameters = sql.select("count(*)", query, None, None)
        [(number,)] = await self._client.read(statement, *parameters, cancellable=True)
        return int(number)

    async def _pages(
        self,
        query: KeyQuery,
        next_page: Callable[[str | None, int], tuple[str, list[Any]]],
        rows: int,
        rows_of: Callable[[list[Any]], Sequence[Any]],
    ) -> list[Sequence[Any]]:
        """Return pages of at most ``rows`` rows, all of one moment.

        Whether one statement is enough shows only when it has come back full. What was large once is listed in a
        transaction from then on, until it is small again.
        """
        if query.exact and query.limit is not None and query.limit < 2 * rows:
            rows = query.limit
        place = query.glob.prefix
        if place not in self._large:
            statement, parameters = next_page(query.after, rows)
            page = rows_of(await self._client.read(statement, *parameters, cancellable=True))
            if _is_last(query, page, rows):
                return [page]
        pages = await self._client.in_snapshot(
            lambda fetch: _all(fetch, query, next_page, rows, rows_of, query.after)
        )
        self._remember(place, is_large=len(pages) > 1)
        return pages

    def _remember(self, place: str, *, is_large: bool) -> None:
        self._large.discard(place)
        if is_large and len(self._large) < _REMEMBERED:
            self._large.add(place)


async def _all(
    fetch: Fetch,
    query: KeyQuery,
    next_page: Callable[[str | None, int], tuple[str, list[Any]]],
    rows: int,
    rows_of: Callable[[list[Any]], Sequence[Any]],
    after: str | None,
) -> list[Sequence[Any]]:
    pages: list[Sequence[Any]] = []
    pace = TimeSlice()
    wanted = query.limit
    while True:
        statement, parameters = next_page(after, rows)
        page = rows_of(await fetch(statement, *parameters))
        pages.append(page)
        if wanted is not None:
            wanted -= sum(1 for row in page if query.exact or query.has(_key(row)))
        if len(page) < rows or (wanted is not None and wanted <= 0):
            return pages
        after = _key(page[-1])
        await pace.checkpoint()


def _is_last(query: KeyQuery, page: Sequence[Any], rows: int) -> bool:
    if len(page) < rows:
        return True
    return query.limit is not None and sum(1 for row in page if query.exact or query.has(_key(row))) >= query.limit


def _key(row: Any) -> str:
    return row if isinstance(row, str) else str(row[0])


def _select(search: Search | None, query: KeyQuery, after: str | None, rows: int) -> tuple[str, list[Any]]:
    return search.select(after, rows) if search else sql.select("key, value", query, after, rows)
