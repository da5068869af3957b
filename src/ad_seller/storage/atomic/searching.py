"""What a backend of seven methods gets for searches: its keys, and one read for each."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Protocol

from ..driver.query import KeyQuery, say_how
from ..errors import CorruptValueError
from ..records.filters import matches
from ..records.globs import escape
from ..records.pages import OnCorrupt, report_corrupt


class Listed(Protocol):
    """The part of a backend that a search needs."""

    async def keys(self, pattern: str = "*") -> list[str]:
        """See `StorageBackend.keys`."""

    async def get_many(self, keys: Iterable[str], *, on_corrupt: OnCorrupt = None) -> dict[str, Any]:
        """See `StorageBackend.get_many`."""


async def search(
    backend: Listed, query: KeyQuery, on_corrupt: OnCorrupt
) -> tuple[list[tuple[str, Any]], str | None]:
    """Return what ``query`` asks for, and the key after which there is more; None if there is not.

    An entry that cannot be decoded counts for the limit, as it does in a scan.
    """
    say_how(query, None)
    pattern = escape(query.glob.prefix) + ("" if query.glob.literal else "*")
    keys = sorted(filter(query.has, await backend.keys(pattern)), reverse=query.reverse)
    items: list[tuple[str, Any]] = []
    counted, last = 0, None
    for key in keys:
        corrupt: list[CorruptValueError] = []
        found = await backend.get_many([key], on_corrupt=corrupt.append)
        if not corrupt and not (key in found and matches(found[key], query.where)):
            continue
        if counted == query.limit:
            return items, last
        counted, last = counted + 1, key
        for error in corrupt:
            report_corrupt(error, on_corrupt)
        items += found.items()
    return items, None
