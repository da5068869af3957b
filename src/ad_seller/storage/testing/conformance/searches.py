# ruff: noqa: D102  (the names of the tests say what they check)
"""Contract, section 1: records by their fields, and the first or last of a listing."""

from __future__ import annotations

from typing import Any

import pytest

from ...base import StorageBackend
from ...errors import InvalidArgumentError, InvalidCursorError
from ...seller.kinds import PREFIXES
from ..levels import Level, Section, belongs
from .harness import Harness
from .rows import rows

#: What stands in the field of records, equal in Python or alike.
VALUES: list[Any] = [
    *("", "s1", "S1", "s1 ", "1", "true", "null", "é", "'", '"', "a\0b", "%", "x" * 20_000),
    *(0, 1, -1, 1.0, 1.5, 0.1, -0.0, 2**53, 2**53 + 1, float(2**53), 10**30, 1e30, True, False),
    *([], ["s1"], [1], {}, {"id": "s1"}, None),
]
#: Whole values that are no records with the field.
ODD: list[Any] = [
    "s1",
    1,
    True,
    None,
    [],
    ["field", "s1"],
    [{"field": "s1"}],
    {},
    {"Field": "s1"},
    {"x": {"field": "s1"}},
]


def is_equal(one: Any, other: Any) -> bool:
    """Compare as Python does; None is not compared at all."""
    return one is not None and bool(one == other)


async def read(
    backend: StorageBackend, pattern: str, where: dict[str, Any], limit: int | None, *, reverse: bool = False
) -> list[list[str]]:
    """Return the keys of each page of a search."""
    pages: list[list[str]] = []
    cursor: str | None = None
    while True:
        page = await backend.find(pattern, where, limit=limit, cursor=cursor, reverse=reverse)
        pages.append([key for key, _ in page.items])
        cursor = page.cursor
        if cursor is None:
            return pages


async def fill(backend: StorageBackend) -> dict[str, Any]:
    """Store a record for each of `VALUES`, at the top and inside, and what is none; return the former."""
    records = {f"event:{n:03}": {"n": n, "field": value} for n, value in enumerate(VALUES)}
    inner = {f"event:in-{n:03}": {"field": {"field": value}} for n, value in enumerate(VALUES)}
    odd = {f"event:odd-{n}": value for n, value in enumerate(ODD)}
    others = {"event;": {"field": "s1"}, "event": {"field": "s1"}, "event_index:1": {"field": "s1"}}
    await backend.set_many(records | inner | odd | others)
    return records | inner | odd


@belongs(Level.ENTITIES, Section.LISTINGS)
class SearchConformance(Harness):
    """What `find` and the listings of a kind find, and in which order."""

    async def test_find_compares_as_python_does(self, backend: StorageBackend) -> None:
        records = await fill(backend)
        for wanted in (*VALUES, "missing", 2, (), ("s1",)):
            if wanted is None:
                continue
            as_stored = list(wanted) if isinstance(wanted, tuple) else wanted
            expected = [
                k for k, r in records.items() if isinstance(r, dict) and is_equal(r.get("field"), as_stored)
            ]
            found = await backend.find("event", {"field": wanted})
            assert [key for key, _ in found.items] == sorted(expected), f"wanted {wanted!r}"[:80]
            assert all(value == records[key] for key, value in found.items)
            assert found.cursor is None

    async def test_find_by_paths_and_several_fields(self, backend: StorageBackend) -> None:
        await fill(backend)
        assert await read(backend, "event", {"field.field": "s1"}, None) == [["event:in-001"]]
        assert await read(backend, "event", {"field": "s1", "n": 1}, None) == [["event:001"]]
        assert await read(backend, "event", {"field": "s1", "n": 2}, None) == [[]]
        assert await read(backend, "event", {"no such field": "s1"}, None) == [[]]
        assert sum(map(len, await read(backend, "event", {}, 7))) == 2 * len(VALUES) + len(ODD)

    async def test_find_by_kind_prefix_and_pattern(self, backend: StorageBackend) -> None:
        keys = ["event:1", "event:2", "event:12", "event:[1]", "event_index:1", "event", "eventful:1", "other:1"]
        await backend.set_many({key: {"a": 1} for key in keys})
        for pattern, expected in {
            "event": ["event:1", "event:12", "event:2", "event:[1]"],
            "event:": ["event:1", "event:12", "event:2", "event:[1]"],
            "event:1": ["event:1", "event:12"],
            "event:*2": ["event:12", "event:2"],
            "event:\\[1]": ["event:[1]"],
            "event*:1": ["event:1", "event_index:1", "eventful:1"],
            "none": [],
        }.items():
            assert await read(backend, pattern, {"a": 1}, None) == [expected], pattern
        assert len((await backend.find("*", {"a": 1})).items) == len(keys)

    @rows("limit", [1, 2, 3, 7, 33, 34, 1_000])
    async def test_pages_of_find_hold_each_record_once_in_order(self, backend: StorageBackend, limit: int) -> None:
        await backend.set_many({f"event:{n:03}": {"s": n % 3, "n": n} for n in range(100)})
        expected = [f"event:{n:03}" for n in range(0, 100, 3)]
        for reverse in (False, True):
            pages = await read(backend, "event", {"s": 0}, limit, reverse=reverse)
            assert [key for page in pages for key in page] == (expected[::-1] if reverse else expected)
            assert all(len(page) == limit for page in pages[:-1])
            assert len(pages[-1]) <= limit
            assert [] not in pages

    async def test_cursor_of_find_stands_when_its_record_is_gone_or_changed(self, backend: StorageBackend) -> None:
        await backend.set_many({f"event:{n}": {"s": 1} for n in range(9)})
        page = await backend.find("event", {"s": 1}, limit=3)
        await backend.set("event:2", {"s": 2})
        await backend.delete("event:3")
        await backend.set("event:0", {"s": 1})
        rest = await backend.find("event", {"s": 1}, cursor=page.cursor)
        assert [key for key, _ in rest.items] == [f"event:{n}" for n in range(4, 9)]

    async def test_cursor_of_another_search_is_refused(self, backend: StorageBackend) -> None:
        await backend.set_many({f"event:{n}": {"s": 1, "t": 1} for n in range(9)})
        cursor = (await backend.find("event", {"s": 1}, limit=3)).cursor
        scanned = (await backend.scan("event:*", limit=3)).cursor
        for pattern, where, reverse in (
            ("event", {"s": 2}, False),
            ("event", {"t": 1}, False),
            ("event", {"s": 1, "t": 1}, False),
            ("event", {"s": 1}, True),
            ("event:1", {"s": 1}, False),
            ("event:*1", {"s": 1}, False),
        ):
            with pytest.raises(InvalidCursorError):
                await backend.find(pattern, where, reverse=reverse, cursor=cursor)
        for bad in (scanned, "", "a.b", f"{cursor}x", 5, f".{scanned}"):
            with pytest.raises(InvalidCursorError):
                await backend.find("event", {"s": 1}, cursor=bad)  # type: ignore[arg-type]
        with pytest.raises(InvalidCursorError):
            await backend.scan("event:*", cursor=cursor)

    @rows("where", [None, "s", ["s"], {"s": None}, {5: 1}, {"": 1}, {"a.": 1}, {"a..b": 1}, {None: 1}, {"s": {1}}])
    async def test_what_cannot_be_found_is_refused(self, backend: StorageBackend, where: Any) -> None:
        await backend.set("event:1", {"s": 1})
        with pytest.raises(InvalidArgumentError):
            await backend.find("event", where)

    async def test_so_are_other_arguments_of_find(self, backend: StorageBackend) -> None:
        bad: list[Any] = [float("nan"), object(), "\ud800", {1: 2}, b"s"]
        for value in bad:
            with pytest.raises(InvalidArgumentError):
                await backend.find("event", {"s": value})
        for limit in (0, -1, 1.5, True, "1"):
            with pytest.raises(InvalidArgumentError):
                await backend.find("event", {"s": 1}, limit=limit)  # type: ignore[arg-type]
        for pattern in ("", None, 5, "\ud800"):
            with pytest.raises(InvalidArgumentError):
                await backend.find(pattern, {"s": 1})  # type: ignore[arg-type]

    @rows("entity", PREFIXES)
    async def test_listing_has_a_first_and_a_last(self, backend: StorageBackend, entity: str) -> None:
        await backend.set_many({f"{PREFIXES[entity]}{n}": {"n": n} for n in range(5)})
        await backend.set_many({f"{PREFIXES[entity][:-1]}{end}1": {"n": 9} for end in (";", "_index:")})
        listing = getattr(backend, f"list_{entity}s")
        assert [one["n"] for one in await listing(limit=2)] == [0, 1]
        assert [one["n"] for one in await listing(limit=2, reverse=True)] == [4, 3]
        assert [one["n"] for one in await listing(reverse=True)] == [4, 3, 2, 1, 0]
        assert len(await listing(limit=50)) == 5
        with pytest.raises(InvalidArgumentError):
            await listing(limit=0)

    async def test_filtered_listing_has_a_first_and_a_last(self, backend: StorageBackend) -> None:
        await backend.set_many(
            {f"order:{n:02}": {"n": n, "status": "open" if n % 3 else "done"} for n in range(30)}
        )
        found = await backend.list_orders({"status": "done"}, limit=3, reverse=True)
        assert [order["n"] for order in found] == [27, 24, 21]
        assert [order["n"] for order in await backend.list_orders({"status": "open"}, limit=2)] == [1, 2]
