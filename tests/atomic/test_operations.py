"""create, compare_and_set, get_and_delete and increment: what they say, keep and refuse."""

from __future__ import annotations

import asyncio
import json
from datetime import timedelta
from typing import Any

import pytest

from ad_seller.storage import (
    InvalidArgumentError,
    InvalidKeyError,
    InvalidTTLError,
    InvalidValueError,
    StorageBackend,
)
from ad_seller.storage.testing.conformance.rows import rows

from .conftest import Engine
from .support import Address, at_once

NAN = float("nan")
OLDER = {"status": "available", "name": "Müller “Prime” 😀", "cpm": 15.0, "nested": {"b": [1, 2], "a": None}}


class TestCreate:
    async def test_stores_only_what_is_not_there(self, backend: StorageBackend) -> None:
        assert await backend.create("k", {"n": 1}) is True
        assert await backend.create("k", {"n": 2}) is False
        assert await backend.get("k") == {"n": 1}

    async def test_of_many_at_once_one_wins(self, backend: StorageBackend) -> None:
        results, errors = await at_once(*(backend.create("k", n) for n in range(16)))
        assert (results.count(True), errors) == (1, [])
        assert await backend.get("k") == results.index(True)

    async def test_a_stored_null_counts_as_an_entry(self, backend: StorageBackend) -> None:
        await backend.set("k", None)
        assert await backend.create("k", 1) is False

    async def test_an_expired_entry_does_not(self, backend: StorageBackend) -> None:
        assert await backend.create("k", 1, ttl=0.05)
        await asyncio.sleep(0.08)
        assert await backend.create("k", 2, ttl=60)
        assert 0 < (await backend.ttl("k") or 0) <= 60


class TestCompareAndSet:
    async def test_stores_only_over_what_was_expected(self, backend: StorageBackend) -> None:
        await backend.set("k", {"a": 1, "b": [True, None]})
        assert await backend.compare_and_set("k", {"a": 2, "b": [True, None]}, 0) is False
        assert await backend.compare_and_set("k", {"b": [True, None], "a": 1}, {"a": 2}) is True
        assert await backend.get("k") == {"a": 2}
        assert await backend.compare_and_set("missing", None, 1) is False

    @rows(
        ("stored", "expected"),
        [(1, 1.0), (1, True), (0, False), (1.0, 1), (0.0, -0.0), ("1", 1), ([], {}), (None, False), ("", None)],
    )
    async def test_types_count(self, backend: StorageBackend, stored: Any, expected: Any) -> None:
        await backend.set("k", stored)
        assert await backend.compare_and_set("k", expected, "new") is False
        assert await backend.compare_and_set("k", stored, "new") is True

    async def test_a_tuple_is_a_list_and_null_is_a_value(self, backend: StorageBackend) -> None:
        await backend.set("k", [1, 2])
        assert await backend.compare_and_set("k", (1, 2), None)
        assert await backend.compare_and_set("k", None, "set")

    async def test_of_many_at_once_one_wins(self, backend: StorageBackend) -> None:
        await backend.set("k", "start")
        results, errors = await at_once(*(backend.compare_and_set("k", "start", n) for n in range(16)))
        assert (results.count(True), errors) == (1, [])
        assert await backend.get("k") == results.index(True)

    async def test_the_expiry_is_kept_or_given_anew(self, backend: StorageBackend) -> None:
        await backend.set("k", 0, ttl=100)
        await backend.compare_and_set("k", 0, 1)
        assert 90 < (await backend.ttl("k") or 0) <= 100
        await backend.compare_and_set("k", 1, 2, ttl=timedelta(seconds=50))
        assert 40 < (await backend.ttl("k") or 0) <= 50
        await backend.compare_and_set("k", 2, 3, ttl=None)
        assert await backend.ttl("k") is None

    @rows("bad", [NAN, {1, 2}, {1: 2}, object()])
    async def test_what_json_has_not_is_refused(self, backend: StorageBackend, bad: Any) -> None:
        await backend.set("k", 1)
        with pytest.raises(InvalidValueError):
            await backend.compare_and_set("k", bad, 2)
        with pytest.raises(InvalidValueError):
            await backend.compare_and_set("k", 1, bad)
        assert await backend.get("k") == 1


class TestGetAndDelete:
    async def test_of_many_at_once_one_gets_it(self, backend: StorageBackend) -> None:
        await backend.set("k", {"token": 1})
        results, errors = await at_once(*(backend.get_and_delete("k") for _ in range(16)))
        assert sorted(map(str, results)) == ["None"] * 15 + ["{'token': 1}"]
        assert (errors, await backend.exists("k")) == ([], False)

    async def test_a_missing_entry_is_none(self, backend: StorageBackend) -> None:
        assert await backend.get_and_delete("k") is None


class TestIncrement:
    async def test_counts_from_nothing_in_both_directions(self, backend: StorageBackend) -> None:
        assert [await backend.increment("n"), await backend.increment("n", 10)] == [1, 11]
        assert await backend.increment("n", -12) == -1

    async def test_100_tasks_add_up_and_each_sees_its_own_sum(self, backend: StorageBackend) -> None:
        sums = await asyncio.gather(*(backend.increment("n") for _ in range(100)))
        assert sorted(sums) == list(range(1, 101))
        assert await backend.get("n") == 100

    async def test_any_size(self, backend: StorageBackend) -> None:
        await backend.set("n", 2**63 - 1)
        assert await backend.increment("n", 10**30) == 2**63 - 1 + 10**30

    async def test_a_window_is_not_prolonged(self, backend: StorageBackend) -> None:
        await backend.increment("n", ttl=50)
        await backend.increment("n", ttl=100)
        assert (await backend.ttl("n") or 99) <= 50
        await backend.expire("n", 0.02)
        await asyncio.sleep(0.04)
        assert await backend.increment("n", ttl=100) == 1
        assert (await backend.ttl("n") or 0) > 90

    async def test_a_counter_without_expiry_gets_none(self, backend: StorageBackend) -> None:
        await backend.increment("n")
        await backend.increment("n", ttl=100)
        assert await backend.ttl("n") is None

    @rows("held", ["1", 1.0, True, [1], {}])
    async def test_only_ints_count(self, backend: StorageBackend, held: Any) -> None:
        await backend.set("n", held)
        with pytest.raises(InvalidArgumentError):
            await backend.increment("n")
        assert await backend.get("n") == held

    @rows("by", [1.0, "1", None, True])
    async def test_only_an_int_is_added(self, backend: StorageBackend, by: Any) -> None:
        with pytest.raises(InvalidArgumentError):
            await backend.increment("n", by)
        assert not await backend.exists("n")


@rows("ttl", [0, -1, NAN, float("inf"), True, "60"])
async def test_a_bad_ttl_is_refused(backend: StorageBackend, ttl: Any) -> None:
    await backend.set("k", 1)
    for call in (
        lambda: backend.create("new", 1, ttl),
        lambda: backend.increment("new", ttl=ttl),
        lambda: backend.compare_and_set("k", 1, 2, ttl),
        lambda: backend.update("k", lambda _: 2, ttl=ttl),
        lambda: backend.run_once("s", "new", 1, lambda _: asyncio.sleep(0), ttl=ttl),
    ):
        with pytest.raises(InvalidTTLError):
            await call()
    assert await backend.keys() == ["k"]
    assert await backend.get("k") == 1


@rows("key", ["", "a\0b", "\ud800", "k" * 2049, 7, None], ids=ascii)
async def test_a_bad_key_is_refused(backend: StorageBackend, key: Any) -> None:
    for call in (
        lambda: backend.create(key, 1),
        lambda: backend.increment(key),
        lambda: backend.compare_and_set(key, 1, 2),
        lambda: backend.get_and_delete(key),
        lambda: backend.update(key, lambda _: 2),
    ):
        with pytest.raises(InvalidKeyError):
            await call()


class TestCapabilities:
    async def test_are_declared(self, backend: StorageBackend, address: Address) -> None:
        wanted = "process" if address.kind == "dict" else "store"
        assert (backend.capabilities.atomic, backend.capabilities.expiry) == (wanted, wanted)


class TestOlderData:
    """Entries as ``json.dumps`` of an older seller agent wrote them take part."""

    async def test_takes_part(self, engine: Engine, address: Address) -> None:
        for name in ("update", "cas", "delete", "transact"):
            address.write_text(f"quote:{name}", json.dumps(OLDER))  # with spaces, and \\u escapes
        async with address.open() as storage:
            assert await storage.get_quote("cas") == OLDER
            assert await storage.compare_and_set("quote:cas", OLDER, {"status": "booked"})
            booked = await storage.update_quote("update", lambda quote: quote | {"status": "booked"})
            assert booked == OLDER | {"status": "booked"} == await storage.get_quote("update")
            assert await storage.get_and_delete("quote:delete") == OLDER
            async with storage.transaction() as tx:
                quote = await tx.get_quote("transact")
                await tx.set_quote("transact", (quote or {}) | {"status": "booked"})
            assert await storage.get_quote("transact") == booked
