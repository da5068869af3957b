"""Several entries at once, and listings: what a backend of seven methods gets by one call for each entry.

The backends of this package answer in bulk instead.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import AsyncIterator, Iterable, Mapping
from typing import Any

from ..driver.query import KeyQuery
from ..errors import CorruptValueError
from ..records.codec import encode
from ..records.expiry import TTL, check_ttl
from ..records.keys import check_keys, copied, decode_cursor, encode_cursor
from ..records.pages import OnCorrupt, Page, check_limit, report_corrupt
from . import searching
from .fallback import whole_seconds


class BulkOperations(ABC):
    """Several entries at once, and listings; mixed into every backend."""

    @abstractmethod
    async def get(self, key: str) -> Any | None:
        """See `StorageBackend.get`."""

    @abstractmethod
    async def set(self, key: str, value: Any, ttl: TTL | None = None) -> None:
        """See `StorageBackend.set`."""

    @abstractmethod
    async def delete(self, key: str) -> bool:
        """See `StorageBackend.delete`."""

    @abstractmethod
    async def exists(self, key: str) -> bool:
        """See `StorageBackend.exists`."""

    @abstractmethod
    async def keys(self, pattern: str = "*") -> list[str]:
        """See `StorageBackend.keys`."""

    async def get_many(self, keys: Iterable[str], *, on_corrupt: OnCorrupt = None) -> dict[str, Any]:
        """Return the values of those ``keys`` that have one, in the order of ``keys``.

        Args:
            keys: the keys; a repeated one counts once.
            on_corrupt: called with the error of each entry that cannot be decoded, which is then left out.

        Raises:
            CorruptValueError: a value is not JSON, and ``on_corrupt`` is None.
        """
        found: dict[str, Any] = {}
        for key in check_keys(keys):
            try:
                value = await self.get(key)
                if value is not None or await self.exists(key):
                    found[key] = value
            except CorruptValueError as error:
                report_corrupt(error, on_corrupt)
        return found

    async def set_many(self, mapping: Mapping[str, Any], ttl: TTL | None = None) -> None:
        """Store every value of ``mapping`` under its key, all with the same ``ttl`` in seconds.

        All keys and values are checked before the first is written.
        """
        ttl_ms = check_ttl(ttl)
        mapping = copied(mapping)
        for key in check_keys(mapping):
            encode(mapping[key], key=key)
        for key, value in mapping.items():
            await self.set(key, value, whole_seconds(ttl_ms))

    async def delete_many(self, keys: Iterable[str]) -> int:
        """Remove the entries under ``keys`` and return how many there were."""
        return sum([await self.delete(key) for key in check_keys(keys)])

    async def scan(
        self,
        pattern: str = "*",
        *,
        limit: int | None = None,
        cursor: str | None = None,
        reverse: bool = False,
        on_corrupt: OnCorrupt = None,
    ) -> Page:
        """Return a page of the entries whose keys match, in the order of their keys.

        Entries that are there during the whole scan come exactly once, whatever else is written meanwhile.

        Args:
            pattern: a glob, see `compile_glob`.
            limit: at most so many entries; None for all.
            cursor: where the page before ended; None for the start.
            reverse: begin with the greatest key and go back. With ids of `new_id` the newest come first.
            on_corrupt: called with the error of each entry that cannot be decoded, which is then left out.

        Raises:
            CorruptValueError: a value is not JSON, and ``on_corrupt`` is None.
        """
        check_limit(limit)
        after = None if cursor is None else decode_cursor(cursor)
        waiting = sorted(set(await self.keys(pattern)), reverse=bool(reverse))  # a stranger's may come in any order
        if after is not None:
            waiting = [key for key in waiting if (key < after if reverse else key > after)]
        items: list[tuple[str, Any]] = []
        last: str | None = None
        for position, key in enumerate(waiting):
            items += (await self.get_many([key], on_corrupt=on_corrupt)).items()
            last = key
            if limit is not None and position + 1 >= limit:
                break
        more = last is not None and last != waiting[-1]
        return Page(items, encode_cursor(last) if more and last is not None else None)

    async def iterate(
        self, pattern: str = "*", *, page_size: int = 500, reverse: bool = False, on_corrupt: OnCorrupt = None
    ) -> AsyncIterator[tuple[str, Any]]:
        """Yield key and value of every entry whose key matches, in the order of their keys, page by page.

        ``async for key, value in storage.iterate("deal:*"): ...``. Nothing is held between two pages: neither a
        lock nor a connection, so the loop may take its time, or end early.

        Args:
            pattern: a glob, see `compile_glob`.
            page_size: entries that are read at once.
            reverse: begin with the greatest key and go back.
            on_corrupt: called with the error of each entry that cannot be decoded, which is then left out.

        Raises:
            CorruptValueError: a value is not JSON, and ``on_corrupt`` is None.
        """
        cursor: str | None = None
        while True:
            page = await self.scan(pattern, limit=page_size, cursor=cursor, reverse=reverse, on_corrupt=on_corrupt)
            for item in page.items:
                yield item
            cursor = page.cursor
            if cursor is None:
                return

    async def find(
        self,
        pattern: str,
        where: Mapping[str, Any],
        *,
        reverse: bool = False,
        limit: int | None = None,
        cursor: str | None = None,
        on_corrupt: OnCorrupt = None,
    ) -> Page:
        """Return a page of the records with certain fields, in the order of their keys.

        ``await storage.find("event", {"session_id": "s1"}, reverse=True, limit=50)``. Values are compared as Python
        does (1 equals 1.0 and True); a record without the field, with null there, or that is no dict never matches.
        It costs what it finds where the field has an index (see `Index`), else all records under the keys are read.

        Args:
            pattern: a kind (``event``), what the keys begin with (``event:2026``), or a glob (``event:*-eu``).
            where: the value of each field that is asked for, all of which must be so; dots lead into dicts.
            reverse: begin with the greatest key and go back. With ids of `new_id` the newest come first.
            limit: at most so many; None for all.
            cursor: where the page before ended; None for the start.
            on_corrupt: called with the error of each entry that cannot be decoded, which is then left out.

        Raises:
            InvalidArgumentError: a field is no name, or its value None or no JSON.
            InvalidCursorError: the cursor is of another search.
            CorruptValueError: a value is not JSON, and ``on_corrupt`` is None.
        """
        from ..driver.search import Search  # with what it needs, when somebody does

        search = Search.of(pattern, where, reverse=bool(reverse))
        check_limit(limit)
        items, last = await self._entry_search(search.query(cursor, limit), on_corrupt)
        return Page(items, None if last is None else search.cursor(last))

    async def count(self, pattern: str = "*") -> int:
        """Return how many keys match the glob ``pattern``."""
        return len(await self.keys(pattern))

    async def _keys_below(self, prefix: str, pattern: str) -> list[str]:
        """Return the keys of a namespace that match, without its prefix; of one that is nothing else, ""."""
        found = await self.keys(prefix + pattern)  # what is a match here may be its author's idea
        return sorted(key.removeprefix(prefix) for key in found if key.startswith(prefix))

    async def _count_below(self, prefix: str, pattern: str) -> int:
        """Return how many keys of a namespace match; one that is nothing but its prefix has no name in it."""
        return sum(map(bool, await self._keys_below(prefix, pattern)))

    async def _entry_search(
        self, query: KeyQuery, on_corrupt: OnCorrupt, cut: int = 0
    ) -> tuple[list[tuple[str, Any]], str | None]:
        """Return what ``query`` asks for, and the key after which there is more; None if there is not.

        The entries are without the first ``cut`` characters of their keys: a namespace's prefix.
        """
        items, last = await searching.search(self, query, on_corrupt)
        return [(key[cut:], value) for key, value in items] if cut else items, last
