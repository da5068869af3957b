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
#: Entries, likewise; more than is often listed, because a page that comes back full costs a transaction.
_ENTRY_ROWS = 2_000
_REMEMBERED = 1_000  #: ranges at most
_AT_ONCE = 16  #: entries between two looks at the clock; a text may have megabytes

Fetch = Callable[..., Awaitable[list[Any]]]

#: Makes the statement for so many rows after a key.
NextPage = Callable[[str | None, int], tuple[str, list[Any]]]

#: Leaves those rows that a listing asked for.
Kept = Callable[[list[Any]], Awaitable[list[Any]]]

Place = tuple[object, ...]  #: a prefix, and the fields that are asked for


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
        self._large: set[Place] = set()

    async def keys(self, query: KeyQuery, below: str = "") -> list[str]:
        """See `Engine.keys`; without ``below``, with which all of them begin, where no pattern looks at them."""
        column = f"right(key, {-len(below)})" if below else "key"  # the server cuts them in half the time

        def next_page(after: str | None, rows: int) -> tuple[str, list[Any]]:
            page, parameters = sql.select(column, query, None if after is None else below + after, rows)
            return f"SELECT ARRAY({page})", parameters  # as one array they are packed and unpacked faster

        async def kept(page: list[Any]) -> list[Any]:
            return page if query.exact else list(filter(query.has, page))

        pages = await self._pages(query, next_page, _KEY_ROWS, lambda rows: rows[0][0], kept)
        return _joined(pages, query.limit)

    async def entries(self, query: KeyQuery) -> list[tuple[str, bytes]]:
        """See `Engine.entries`."""
        search = await self._indexes.narrowest(query) if query.where else None

        def next_page(after: str | None, rows: int) -> tuple[str, list[Any]]:
            return _select(search, query, after, rows)

        async def kept(page: list[Any]) -> list[Any]:
            return await _taken(page, query)

        rows = query.limit if search and query.limit and query.limit < _ENTRY_ROWS else _ENTRY_ROWS
        pages = await self._pages(query, next_page, rows, list, kept)
        return _joined(pages, query.limit)

    async def count(self, query: KeyQuery) -> int:
        """See `Engine.count`."""
        if not query.exact:
            return len(await self.keys(query))
        statement, parameters = sql.select("count(*)", query, query.after, None)
        [(number,)] = await self._client.read(statement, *parameters, cancellable=True)
        return int(number)

    async def _pages(
        self,
        query: KeyQuery,
        next_page: NextPage,
        rows: int,
        rows_of: Callable[[list[Any]], list[Any]],
        kept: Kept,
    ) -> list[list[Any]]:
        """Return what is kept of pages of at most ``rows`` rows, all of one moment.

        Whether one statement is enough shows only when it has come back full. What was large once is listed in a
        transaction from then on, until it is small again.
        """
        if query.exact and not query.where and query.limit is not None and query.limit < 2 * rows:
            rows = query.limit
        place = (query.glob.prefix, *(path for path, _ in query.where))
        if place not in self._large:
            statement, parameters = next_page(query.after, rows)
            page = rows_of(await self._client.read(statement, *parameters, cancellable=True))
            found = await kept(page)
            if len(page) < rows or (query.limit is not None and len(found) >= query.limit):
                return [found]
        pages = await self._client.in_snapshot(lambda fetch: _all(fetch, query, next_page, rows, rows_of, kept))
        self._remember(place, is_large=len(pages) > 1)
        return pages

    def _remember(self, place: Place, *, is_large: bool) -> None:
        self._large.discard(place)
        if is_large and len(self._large) < _REMEMBERED:
            self._large.add(place)


def _joined(pages: Sequence[list[Any]], limit: int | None) -> list[Any]:
    rows = pages[0] if len(pages) == 1 else [row for page in pages for row in page]
    return rows if limit is None else rows[:limit]


async def _all(
    fetch: Fetch,
    query: KeyQuery,
    next_page: NextPage,
    rows: int,
    rows_of: Callable[[list[Any]], list[Any]],
    kept: Kept,
) -> list[list[Any]]:
    pages: list[list[Any]] = []
    pace = TimeSlice()
    wanted, after = query.limit, query.after
    while True:
        statement, parameters = next_page(after, rows)
        page = rows_of(await fetch(statement, *parameters))
        found = await kept(page)
        pages.append(found)
        if wanted is not None:
            wanted -= len(found)
        if len(page) < rows or (wanted is not None and wanted <= 0):
            return pages
        after = _key(page[-1])
        await pace.checkpoint()


async def _taken(page: Sequence[Any], query: KeyQuery) -> list[tuple[str, bytes]]:
    """Return the entries of a page that count, without holding up other tasks."""
    pace = TimeSlice()
    found: list[tuple[str, bytes]] = []
    for first in range(0, len(page), _AT_ONCE):
        entries = [(key, text.encode()) for key, text in page[first : first + _AT_ONCE]]
        if query.counts_records:
            entries = [entry for entry in entries if query.takes(*entry)]
        elif not query.exact:
            entries = [entry for entry in entries if query.has(entry[0])]
        found += entries
        await pace.checkpoint()
    return found


def _key(row: Any) -> str:
    return row if isinstance(row, str) else str(row[0])


def _select(search: Search | None, query: KeyQuery, after: str | None, rows: int) -> tuple[str, list[Any]]:
    return search.select(query, after, rows) if search else sql.select("key, value", query, after, rows)
