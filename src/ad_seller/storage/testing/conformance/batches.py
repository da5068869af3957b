# ruff: noqa: D102  (the names of the tests say what they check)
"""Several entries at once: get_many, set_many, delete_many, count and scan."""

from __future__ import annotations

import asyncio
import random
from typing import Any

import pytest

from ...base import StorageBackend
from ...errors import InvalidArgumentError, InvalidCursorError, InvalidKeyError, InvalidValueError
from ..levels import Level, Section, belongs
from .harness import Harness, need_atomic_batches, need_second_instance, not_shown
from .jobs import NewBackend
from .rows import rows

NUMBERED = {f"item:{n:04}": {"n": n} for n in range(250)}


async def read_pages(
    backend: StorageBackend, pattern: str, limit: int, *, reverse: bool = False
) -> list[list[str]]:
    """Return the keys of each page of a scan."""
    pages: list[list[str]] = []
    cursor: str | None = None
    while True:
        page = await backend.scan(pattern, limit=limit, cursor=cursor, reverse=reverse)
        pages.append([key for key, _ in page.items])
        cursor = page.cursor
        if cursor is None:
            return pages


async def _is_listed(size: int, backend: StorageBackend, seconds: float) -> bool:
    """Write so many entries and look at each listing of them; False: they were not written in so much time."""
    expected = {f"deal:{n:05}": {"n": n} for n in range(size)}
    names = list(expected)
    ends = asyncio.get_running_loop().time() + seconds
    for start in range(0, size, 500):
        if asyncio.get_running_loop().time() > ends:
            return False
        await backend.set_many({name: expected[name] for name in names[start : start + 500]})
    found = {
        "keys": await backend.keys("deal:*"),
        "keys of all": await backend.keys(),
        "count": range(await backend.count("deal:*")),
        "scan": (await backend.scan("deal:*")).items,
        "pages of a scan": [key for page in await read_pages(backend, "deal:*", size // 2) for key in page],
        "list_deals": await backend.list_deals(),
        "get_many": await backend.get_many(names),
    }
    lengths = {name: len(answer) for name, answer in found.items()}
    assert lengths == dict.fromkeys(found, size), f"of {size:,} entries: {lengths}"
    assert found["keys"] == found["keys of all"] == found["pages of a scan"] == names
    assert await backend.delete_many(names) == size
    assert await backend.count() == 0
    return True


@belongs(Level.BATCH_AND_SCAN, Section.INTERFACE)
class BatchConformance(Harness):
    """Bulk forms do what the single ones do, for many entries."""

    async def test_get_many_finds_those_that_are_there(self, backend: StorageBackend) -> None:
        await backend.set_many({"a": 1, "b": None, "c": {"n": 3}})
        found = await backend.get_many(["c", "missing", "b", "a", "c"])
        assert list(found.items()) == [("c", {"n": 3}), ("b", None), ("a", 1)]

    async def test_any_iterable_of_keys_will_do(self, backend: StorageBackend) -> None:
        await backend.set_many({"a": 1, "b": 2})
        assert await backend.get_many(key for key in "ab") == {"a": 1, "b": 2}
        assert await backend.get_many({"a", "b"}) == {"a": 1, "b": 2}
        assert await backend.get_many({"a": None}) == {"a": 1}
        assert await backend.delete_many(iter(("a", "b"))) == 2

    async def test_nothing_is_fine(self, backend: StorageBackend) -> None:
        assert await backend.get_many([]) == {}
        await backend.set_many({})
        assert await backend.delete_many([]) == 0
        assert await backend.count() == 0
        assert await backend.scan() == ([], None)

    async def test_set_many_replaces_what_is_there(self, backend: StorageBackend) -> None:
        await backend.set("a", {"old": True})
        await backend.set_many({"a": 1, "b": [2]})
        await backend.set_many({"b": 2, "c": 3})
        assert (await backend.scan()).items == [("a", 1), ("b", 2), ("c", 3)]

    async def test_delete_many_counts_what_was_there(self, backend: StorageBackend) -> None:
        await backend.set_many({"a": 1, "b": None, "c": 3})
        assert await backend.delete_many(["a", "missing", "b", "a"]) == 2
        assert await backend.delete_many(["a", "b"]) == 0
        assert await backend.keys() == ["c"]

    @belongs(Level.LOAD, Section.INTERFACE)
    async def test_a_thousand_at_once(self, backend: StorageBackend) -> None:
        entries = {f"item:{n}": {"n": n} for n in range(1000)}
        await backend.set_many(entries)
        assert await backend.count("item:*") == 1000
        assert await backend.get_many(entries) == entries
        assert dict((await backend.scan()).items) == entries
        assert await backend.delete_many(list(entries)) == 1000
        assert await backend.count() == 0

    @rows("argument", ["deal:1", b"deal:1", None, 5, ["a", None], ["a", ""], [["a"]]])
    async def test_what_is_no_iterable_of_keys_is_refused(self, backend: StorageBackend, argument: Any) -> None:
        await backend.set_many({"a": 1, "deal:1": 1, "d": 1})
        for call in (backend.get_many(argument), backend.delete_many(argument)):
            with pytest.raises(InvalidArgumentError):
                await call
        assert await backend.count() == 3

    @rows("argument", [None, 5, "ab", ["ab"], [("a", 1)], {1, 2}])
    async def test_what_is_no_mapping_is_refused(self, backend: StorageBackend, argument: Any) -> None:
        with pytest.raises(InvalidArgumentError):
            await backend.set_many(argument)
        assert await backend.count() == 0

    async def test_one_bad_entry_and_none_is_written(self, backend: StorageBackend) -> None:
        with pytest.raises(InvalidKeyError):
            await backend.set_many({"a": 1, "": 2, "c": 3})
        with pytest.raises(InvalidValueError) as caught:
            await backend.set_many({"a": 1, "b": {"ids": {1}}, "c": 3})
        assert caught.value.key == "b"
        assert caught.value.path == "$.ids"
        assert await backend.keys() == []

    async def test_set_many_stores_what_it_was_given_at_the_call(self, backend: StorageBackend) -> None:
        entries: dict[str, Any] = {f"item:{n}": n for n in range(50)}
        call = asyncio.ensure_future(backend.set_many(entries))
        await asyncio.sleep(0)
        for n in range(50):
            entries[f"late:{n}"] = object()
        entries["item:49"] = object()
        await call
        assert await backend.keys("late:*") == []
        assert await backend.get("item:49") == 49

    async def test_batches_are_atomic_where_declared(self, backend: StorageBackend) -> None:
        need_atomic_batches(backend)
        keys = [f"item:{n}" for n in range(20)]
        await backend.set_many(dict.fromkeys(keys, 0))
        done = asyncio.Event()

        async def write(writer: int) -> None:
            for turn in range(30):
                if turn % 10 == 9:
                    await backend.delete_many(keys)
                await backend.set_many(dict.fromkeys(keys, f"{writer}.{turn}"))

        async def read() -> None:
            while not done.is_set():
                found = await backend.get_many(keys)
                assert len(found) in (0, len(keys)), "a part of the entries"
                assert len(set(found.values())) <= 1, "a mix of two writes"
                await asyncio.sleep(0)

        reader = asyncio.ensure_future(read())
        await asyncio.gather(*(write(writer) for writer in range(4)))
        done.set()
        await reader

    @belongs(Level.LOAD, Section.LISTINGS)
    async def test_no_listing_stops_at_a_round_number(self, backend: StorageBackend) -> None:
        sizes = (103, 1_203, 10_243) if self.storm_size >= Harness.storm_size else (103, 1_203)
        wanted = 0.0  # seconds for the next size, by those of the last one
        for last, size, after in zip((0, *sizes), sizes, (*sizes[1:], 0), strict=False):
            began = asyncio.get_running_loop().time()
            if wanted > self.listing_seconds or not await _is_listed(size, backend, self.listing_seconds):
                not_shown(f"{last:,} entries were listed; {size:,} take longer than {self.listing_seconds:g} s")
            wanted = (asyncio.get_running_loop().time() - began) / size * after

    # --- scan ------------------------------------------------------------------------------------------

    @belongs(Level.BATCH_AND_SCAN, Section.LISTINGS)
    @rows("limit", [1, 3, 10, 249, 250, 251, 10**9])
    async def test_pages_hold_every_entry_once_in_order(self, backend: StorageBackend, limit: int) -> None:
        await backend.set_many({**NUMBERED, "a": 1, "z": 1})
        expected = list(NUMBERED)[:30] if limit == 1 else list(NUMBERED)
        pages = await read_pages(backend, "item:00[0-2]*" if limit == 1 else "item:*", limit)
        assert [key for page in pages for key in page] == expected
        assert [len(page) for page in pages[:-1]] == [limit] * (len(pages) - 1)
        assert 1 <= len(pages[-1]) <= limit

    @belongs(Level.BATCH_AND_SCAN, Section.LISTINGS)
    @rows("limit", [7, 100, 250, 251])
    async def test_reverse_pages_begin_with_the_greatest_key(self, backend: StorageBackend, limit: int) -> None:
        await backend.set_many({**NUMBERED, "a": 1, "item:é": 1, "session:9": 1, "z": 1})
        pages = await read_pages(backend, "item:*", limit, reverse=True)
        assert [key for page in pages for key in page] == ["item:é", *reversed(NUMBERED)]
        assert [len(page) for page in pages[:-1]] == [limit] * (len(pages) - 1)
        beyond = await read_pages(backend, "item:*[05]", limit, reverse=True)
        assert [key for page in beyond for key in page] == [key for key in reversed(NUMBERED) if key[-1] in "05"]
        everything = await read_pages(backend, "*", limit, reverse=True)
        assert [key for page in everything for key in page] == [
            *"z",
            "session:9",
            "item:é",
            *reversed(NUMBERED),
            "a",
        ]
        assert await read_pages(backend, "a", limit, reverse=True) == [["a"]]

    @belongs(Level.BATCH_AND_SCAN, Section.LISTINGS)
    async def test_cursor_of_a_reverse_page_stands_when_its_entry_is_gone(self, backend: StorageBackend) -> None:
        await backend.set_many(NUMBERED)
        page = await backend.scan("item:*", limit=10, reverse=True)
        await backend.delete_many([page.items[-1][0], "item:0239"])
        await backend.set("item:0240x", {"n": -1})
        rest = await backend.scan("item:*", limit=3, cursor=page.cursor, reverse=True)
        assert rest.items == [(f"item:{n:04}", {"n": n}) for n in (238, 237, 236)]

    @belongs(Level.BATCH_AND_SCAN, Section.LISTINGS)
    async def test_page_is_the_values_and_a_cursor(self, backend: StorageBackend) -> None:
        await backend.set_many(NUMBERED)
        page = await backend.scan("item:*", limit=2)
        assert page.items == [("item:0000", {"n": 0}), ("item:0001", {"n": 1})]
        assert isinstance(page.cursor, str)
        assert await backend.scan("item:*", limit=2) == page
        everything = await backend.scan("item:*")
        assert dict(everything.items) == NUMBERED
        assert everything.cursor is None
        assert await backend.scan("nothing:*", limit=2) == ([], None)

    @belongs(Level.BATCH_AND_SCAN, Section.LISTINGS)
    async def test_rest_after_a_cursor(self, backend: StorageBackend) -> None:
        await backend.set_many(NUMBERED)
        page = await backend.scan(limit=248)
        assert (await backend.scan(cursor=page.cursor)).items == list(NUMBERED.items())[248:]

    @belongs(Level.BATCH_AND_SCAN, Section.LISTINGS)
    async def test_pages_of_a_pattern_beyond_its_prefix(self, backend: StorageBackend) -> None:
        await backend.set_many(NUMBERED)
        pages = await read_pages(backend, "item:*[05]", limit=7)
        assert [key for page in pages for key in page] == [key for key in NUMBERED if key[-1] in "05"]

    @belongs(Level.DURABLE, Section.LISTINGS)
    async def test_cursor_is_good_in_another_instance(
        self, backend: StorageBackend, new_backend: NewBackend
    ) -> None:
        need_second_instance(backend)
        await backend.set_many(NUMBERED)
        page = await backend.scan("item:*", limit=100)
        await backend.disconnect()
        async with new_backend() as other:
            rest = await other.scan("item:*", cursor=page.cursor)
        assert [key for key, _ in page.items + rest.items] == list(NUMBERED)

    @belongs(Level.BATCH_AND_SCAN, Section.LISTINGS)
    async def test_scan_goes_on_while_others_write(self, backend: StorageBackend) -> None:
        rng = random.Random(1)  # noqa: S311
        lasting = {f"item:{n:04}": n for n in range(0, 200, 2)}
        passing = [f"item:{n:04}" for n in range(1, 200, 2)]
        await backend.set_many({**lasting, **dict.fromkeys(passing[::2], 0)})
        seen: list[str] = []
        cursor: str | None = None
        while True:
            page = await backend.scan("item:*", limit=7, cursor=cursor)
            seen += [key for key, _ in page.items]
            cursor = page.cursor
            if cursor is None:
                break
            await backend.delete_many([page.items[-1][0], *rng.sample(passing, 10)])
            lasting.pop(page.items[-1][0], None)  # the entry that the cursor stands on is gone
            await backend.set_many(dict.fromkeys(rng.sample(passing, 10), 1))
            await backend.set_many({"item:": 0, "aaa": 0, "zzz": 0})
        assert seen == sorted(set(seen)), "each once, in order"
        assert set(lasting) <= set(seen), "whatever was there all the time"

    @belongs(Level.BATCH_AND_SCAN, Section.LISTINGS)
    @rows(
        "cursor",
        ["", "x", "not a cursor!", "====", "\u00e9", "AA==", "gICA", "YQ", 5, b"YQ==", True, ["YQ=="]],
    )
    async def test_bad_cursor_is_refused(self, backend: StorageBackend, cursor: Any) -> None:
        await backend.set("a", 1)
        with pytest.raises(InvalidCursorError) as caught:
            await backend.scan(cursor=cursor)
        assert isinstance(caught.value, ValueError)

    @belongs(Level.BATCH_AND_SCAN, Section.LISTINGS)
    @rows("limit", [0, -1, 1.5, 2.0, True, "3", [3]])
    async def test_bad_limit_is_refused(self, backend: StorageBackend, limit: Any) -> None:
        await backend.set("a", 1)
        with pytest.raises(InvalidArgumentError):
            await backend.scan(limit=limit)

    @belongs(Level.BATCH_AND_SCAN, Section.LISTINGS)
    async def test_count_counts(self, backend: StorageBackend) -> None:
        await backend.set_many({**NUMBERED, "other": None})
        assert await backend.count() == 251
        assert await backend.count("item:000?") == 10
        assert await backend.count("other") == 1
        assert await backend.count("nothing*") == 0
