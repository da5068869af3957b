"""What a contender is: one small adapter in front of a store or a driver."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Iterator
from itertools import islice
from typing import Any, ClassVar

from .data import Value

Change = Callable[[Value], Value]
Row = tuple[str, Value]
Arguments = tuple[Any, ...]


class NotOfferedError(NotImplementedError):
    """The contender has no such operation."""


class Contender:
    """A store under test. An operation that an adapter does not define is not offered.

    ``place`` says where: a folder for SQLite, a URL of a database of its own for the servers.

    A contender that is `batched` marks what its engine can do without an event loop: it gets the requests of all
    tasks at once, through the synchronous methods ``get_batch`` and so on, which take a list of argument tuples.
    """

    batched: ClassVar[bool] = False
    only_dicts: ClassVar[bool] = False  #: it takes no other values, so it cannot repeat a recording

    def __init__(self, place: str) -> None:
        self.place = place

    @classmethod
    def offers(cls, operation: str) -> bool:
        if operation == "walk":
            operation = "page"
        return getattr(cls, operation) is not getattr(Contender, operation)

    async def open(self) -> None:
        """Import the library, connect, and make what tables it needs."""
        raise NotImplementedError

    async def close(self) -> None:
        raise NotImplementedError

    async def fill(self, rows: Iterator[Row]) -> None:
        """Store many new entries as fast as it can."""
        for chunk in chunks(rows, 64):
            await asyncio.gather(*(self.set(key, value) for key, value in chunk))

    async def index(self) -> None:
        """Make ready for `find`, as a program would that knows its queries; the default does nothing."""

    async def get(self, key: str) -> Value | None:
        raise NotOfferedError

    async def set(self, key: str, value: Value, ttl: int | None = None) -> None:
        raise NotOfferedError

    async def delete(self, key: str) -> bool:
        raise NotOfferedError

    async def keys(self, prefix: str) -> list[str]:
        """The keys that start so, sorted."""
        raise NotOfferedError

    async def entries(self, prefix: str) -> list[Value]:
        """The values of those keys, in the order of the keys."""
        raise NotOfferedError

    async def page(self, prefix: str, cursor: Any, limit: int) -> tuple[list[str], Any]:
        """The keys of a page of entries, whose values are decoded too, and where it ended (None at the end)."""
        raise NotOfferedError

    async def walk(self, prefix: str, limit: int) -> list[str]:
        """All keys, page by page."""
        found, cursor = await self.page(prefix, None, limit)
        while cursor is not None:
            more, cursor = await self.page(prefix, cursor, limit)
            found += more
        return found

    async def update(self, key: str, change: Change) -> None:
        """Read, change and write, losing nothing."""
        raise NotOfferedError

    async def move(self, source: str, target: str) -> None:
        """Take 1 from ``n`` of one entry and add it to the other's, both or neither."""
        raise NotOfferedError

    async def find(self, prefix: str, status: str) -> list[Value]:
        """The values with that status."""
        raise NotOfferedError


def chunks(rows: Iterable[Any], size: int) -> Iterator[list[Any]]:
    iterator = iter(rows)
    while chunk := list(islice(iterator, size)):
        yield chunk


def added(amount: int) -> Change:
    return lambda value: {**value, "n": value["n"] + amount}
