# ruff: noqa: D102  (the names of the tests say what they check)
"""Contract, section 2: values come back as they were stored, or are refused and change nothing."""

from __future__ import annotations

import asyncio
import enum
import time
from collections import OrderedDict, UserDict
from typing import Any, NamedTuple

import pytest

from ...base import StorageBackend
from ...errors import CorruptValueError, InvalidValueError
from ..levels import Level, Section, belongs
from .harness import Harness, StoreRaw, need_second_instance
from .jobs import NewBackend
from .rows import rows
from .samples import BAD_VALUES, GOOD_VALUES, HOSTILE_VALUES, TOO_LARGE_VALUES, same


class _Status(enum.StrEnum):
    OPEN = "open"


class _Level(enum.IntEnum):
    HIGH = 3


class _Point(NamedTuple):
    x: int
    y: int


@belongs(Level.VALUES, Section.VALUES)
class ValueConformance(Harness):
    """What can be stored, and what comes back."""

    @rows("name", GOOD_VALUES)
    async def test_value_comes_back_equal_and_of_the_same_type(self, backend: StorageBackend, name: str) -> None:
        value = GOOD_VALUES[name]
        await backend.set("value", value)
        assert same(await backend.get("value"), value)
        assert same(await backend.get_many(["value"]), {"value": value})
        [(_, scanned)] = (await backend.scan()).items
        assert same(scanned, value)
        assert await backend.exists("value")

    @belongs(Level.DURABLE, Section.VALUES)
    async def test_values_survive_in_another_instance(
        self, backend: StorageBackend, new_backend: NewBackend
    ) -> None:
        need_second_instance(backend)
        await backend.set_many(GOOD_VALUES)
        await backend.disconnect()
        async with new_backend() as other:
            found = await other.get_many(GOOD_VALUES)
        assert [name for name in GOOD_VALUES if not same(found[name], GOOD_VALUES[name])] == []

    async def test_tuples_come_back_as_lists(self, backend: StorageBackend) -> None:
        await backend.set("value", {"pair": (1, ("a", ())), "point": _Point(1, 2)})
        assert same(await backend.get("value"), {"pair": [1, ["a", []]], "point": [1, 2]})

    async def test_subclasses_come_back_as_their_base_types(self, backend: StorageBackend) -> None:
        await backend.set("value", OrderedDict(z=_Status.OPEN, a=[_Level.HIGH], m={_Status.OPEN: True}))
        assert same(await backend.get("value"), {"z": "open", "a": [3], "m": {"open": True}})

    async def test_mappings_that_are_no_dicts_are_refused(self, backend: StorageBackend) -> None:
        with pytest.raises(InvalidValueError):
            await backend.set("value", UserDict(a=1))

    async def test_keys_from_older_values_do_not_stay(self, backend: StorageBackend) -> None:
        await backend.set("value", {"a": 1, "b": {"c": 2}})
        await backend.set("value", {"b": {}})
        assert await backend.get("value") == {"b": {}}

    async def test_null_is_a_value_and_not_a_missing_entry(self, backend: StorageBackend) -> None:
        await backend.set("value", None)
        assert await backend.get("value") is None
        assert await backend.exists("value")
        assert await backend.keys() == ["value"]
        assert await backend.get_many(["value", "missing"]) == {"value": None}
        assert await backend.delete("value")

    @rows("name", BAD_VALUES)
    async def test_bad_value_is_refused_with_its_path(self, backend: StorageBackend, name: str) -> None:
        make, path = BAD_VALUES[name]
        await backend.set("value", "old", ttl=60)
        with pytest.raises(InvalidValueError) as caught:
            await backend.set("value", make())
        assert caught.value.path == path
        assert caught.value.key == "value"
        assert isinstance(caught.value, ValueError)
        assert await backend.get("value") == "old"
        assert await backend.ttl("value") is not None

    @rows("name", HOSTILE_VALUES)
    async def test_hostile_value_is_refused(self, backend: StorageBackend, name: str) -> None:
        await backend.set("value", "old")
        with pytest.raises(InvalidValueError):
            await backend.set("value", HOSTILE_VALUES[name]())
        assert await backend.get("value") == "old"

    @rows("name", TOO_LARGE_VALUES)
    async def test_too_large_value_is_refused_at_once(self, backend: StorageBackend, name: str) -> None:
        value = TOO_LARGE_VALUES[name]()
        await backend.set("value", "old")
        started = time.process_time()
        with pytest.raises(InvalidValueError):
            await backend.set("value", value)
        assert time.process_time() - started < 20  # of computing, on any machine: to write it out would take days
        assert await backend.get("value") == "old"

    async def test_no_operation_accepts_a_bad_value(self, backend: StorageBackend) -> None:
        await backend.set("value", "old")
        bad = {"ids": {1}}
        with pytest.raises(InvalidValueError):
            await backend.set_many({"first": 1, "value": bad, "last": 1})
        with pytest.raises(InvalidValueError):
            await backend.create("new", bad)
        with pytest.raises(InvalidValueError):
            await backend.compare_and_set("value", "old", bad)
        with pytest.raises(InvalidValueError):
            await backend.update("value", lambda current: bad)
        with pytest.raises(InvalidValueError):
            await backend.set_deal("1", bad)
        assert (await backend.scan()).items == [("value", "old")]

    async def test_caller_gets_a_copy_of_its_own(self, backend: StorageBackend) -> None:
        stored: dict[str, Any] = {"list": [1], "dict": {"a": [2]}}
        await backend.set("value", stored)
        stored["list"].append("changed")
        stored["dict"]["a"].append("changed")
        first, second = await asyncio.gather(backend.get("value"), backend.get("value"))
        assert first == second == {"list": [1], "dict": {"a": [2]}}
        assert first is not None
        first["list"].append("changed")
        assert second == {"list": [1], "dict": {"a": [2]}}
        many = await backend.get_many(["value"])
        many["value"]["dict"]["a"].append("changed")
        [(_, scanned)] = (await backend.scan()).items
        scanned["dict"].clear()
        assert await backend.get("value") == {"list": [1], "dict": {"a": [2]}}

    @belongs(Level.ATOMIC, Section.VALUES)
    async def test_update_works_on_a_copy(self, backend: StorageBackend) -> None:
        await backend.set("value", {"list": [1]})
        returned = await backend.update("value", lambda current: {"list": [*current["list"], 2]})
        returned["list"].append("changed")

        def spoil(current: Any) -> Any:
            current["list"].append("changed")
            raise RuntimeError("not now")

        with pytest.raises(RuntimeError, match="not now"):
            await backend.update("value", spoil)
        assert await backend.get("value") == {"list": [1, 2]}

    @rows("text", [b"{", b"", b"nul", b"NaN", b'{"a": 1} x', b"'a'", b'"\x01"', b"[1,]"])
    async def test_corrupt_value_is_an_error_that_names_the_key(
        self, backend: StorageBackend, store_raw: StoreRaw | None, text: bytes
    ) -> None:
        await _check_corrupt(backend, store_raw, text)

    async def test_corrupt_bytes_are_an_error_that_names_the_key(
        self, backend: StorageBackend, store_raw: StoreRaw | None
    ) -> None:
        await _check_corrupt(backend, store_raw, b"\xff\xfe")

    async def test_corrupt_values_can_be_skipped_and_reported(
        self, backend: StorageBackend, store_raw: StoreRaw | None
    ) -> None:
        if store_raw is None:
            pytest.skip("offers no store_raw")
        await backend.set_many({"deal:1": {"n": 1}, "deal:3": {"n": 3}, "deal:5": {"n": 5}})
        await store_raw("deal:2", b"{")
        await store_raw("deal:4", b"nul")
        reported: list[str | None] = []

        def report(error: CorruptValueError) -> None:
            reported.append(error.key)

        assert await backend.list_deals(on_corrupt=report) == [{"n": 1}, {"n": 3}, {"n": 5}]
        assert list(await backend.get_many(["deal:4", "deal:5"], on_corrupt=report)) == ["deal:5"]
        first = await backend.scan(limit=3, on_corrupt=report)
        assert first.items == [("deal:1", {"n": 1}), ("deal:3", {"n": 3})]
        second = await backend.scan(limit=3, cursor=first.cursor, on_corrupt=report)
        assert second.items == [("deal:5", {"n": 5})]
        assert reported == ["deal:2", "deal:4", "deal:4", "deal:2", "deal:4"]

    async def test_corrupt_value_can_be_replaced_or_deleted(
        self, backend: StorageBackend, store_raw: StoreRaw | None
    ) -> None:
        if store_raw is None:
            pytest.skip("offers no store_raw")
        await store_raw("one", b"{")
        await store_raw("two", b"{")
        await backend.set("one", 1)
        assert await backend.delete("two")
        assert (await backend.scan()).items == [("one", 1)]


async def _check_corrupt(backend: StorageBackend, store_raw: StoreRaw | None, text: bytes) -> None:
    """Store a text that is no JSON, and read it in every way."""
    if store_raw is None:
        pytest.skip("offers no store_raw")
    await store_raw("deal:2", text)
    for call in (backend.get("deal:2"), backend.get_many(["deal:2"]), backend.scan(), backend.list_deals()):
        with pytest.raises(CorruptValueError) as caught:
            await call
        assert caught.value.key == "deal:2"
    assert await backend.exists("deal:2")
    assert await backend.keys() == ["deal:2"]
