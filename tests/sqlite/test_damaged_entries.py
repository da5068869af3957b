"""Rows that somebody damaged, or wrote by other rules: named, skippable, never read as nothing."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from ad_seller.storage import CorruptValueError, StorageError
from ad_seller.storage.operations import repair
from ad_seller.storage.sqlite_backend import SQLiteBackend

from .support import execute

DAMAGE = {
    "cut off": "'{\"a\": 1'",
    "empty": "''",
    "no JSON": "'hello'",
    "NaN": "'NaN'",
    "two values": "'1 2'",
    "a blob": "x'ff00fe'",
    "an empty blob": "x''",
    "invalid UTF-8": "CAST(x'22ff22' AS TEXT)",
    "invalid UTF-8 in a key": "CAST(x'7b22ff223a317d' AS TEXT)",
    "UTF-16": "CAST(x'0031' AS TEXT)",
    "too deep": f"'{'[' * 100_000}'",
}


@pytest.mark.parametrize("name", DAMAGE)
async def test_a_corrupt_value_is_named(name: str, store: SQLiteBackend, path: Path) -> None:
    await store.set_many({"deal:a": {"n": 1}, "deal:b": {"n": 2}, "deal:c": {"n": 3}})
    execute(path, f"UPDATE kv_store SET value = {DAMAGE[name]} WHERE key = 'deal:b'")
    before = execute(path, "SELECT CAST(value AS BLOB) FROM kv_store WHERE key = 'deal:b'")

    for call in (
        lambda: store.get("deal:b"),
        lambda: store.get_many(["deal:a", "deal:b"]),
        lambda: store.scan("deal:*"),
        lambda: store.list_deals(),
        lambda: store.get_deal("b"),
        lambda: store.update("deal:b", lambda current: 1),
        lambda: store.get_and_delete("deal:b"),
    ):
        with pytest.raises(CorruptValueError, match="deal:b") as caught:
            await call()
        assert caught.value.key == "deal:b"

    errors: list[CorruptValueError] = []
    found = await store.scan("deal:*", on_corrupt=errors.append)
    assert found.items == [("deal:a", {"n": 1}), ("deal:c", {"n": 3})]
    assert await store.get_many(["deal:c", "deal:b"], on_corrupt=errors.append) == {"deal:c": {"n": 3}}
    assert [error.key for error in errors] == ["deal:b", "deal:b"]

    assert await store.exists("deal:b")
    assert await store.keys("deal:*") == ["deal:a", "deal:b", "deal:c"]
    assert await store.count("deal:*") == 3
    assert execute(path, "SELECT CAST(value AS BLOB) FROM kv_store WHERE key = 'deal:b'") == before

    await store.set("deal:b", {"n": 4})
    assert len(await store.list_deals()) == 3


async def test_a_corrupt_entry_can_be_deleted(store: SQLiteBackend, path: Path) -> None:
    await store.set("key", 1)
    execute(path, "UPDATE kv_store SET value = 'hello'")
    assert await store.delete("key")
    assert await store.get("key") is None


async def test_a_page_with_a_corrupt_entry_has_a_cursor(store: SQLiteBackend, path: Path) -> None:
    await store.set_many({f"key:{number}": number for number in range(6)})
    execute(path, "UPDATE kv_store SET value = 'hello' WHERE key IN ('key:1', 'key:2', 'key:3')")
    errors: list[CorruptValueError] = []
    items: list[tuple[str, object]] = []
    cursor = None
    while True:
        page = await store.scan("key:*", limit=2, cursor=cursor, on_corrupt=errors.append)
        items += page.items
        cursor = page.cursor
        if cursor is None:
            break
    assert items == [("key:0", 0), ("key:4", 4), ("key:5", 5)]
    assert [error.key for error in errors] == ["key:1", "key:2", "key:3"]


@pytest.mark.parametrize(
    "key",
    [
        *(
            "x'ff00'",
            "x'6465616c3a62'",
            "CAST(x'6465616c3aff' AS TEXT)",
        ),  # the second one is a BLOB that reads deal:b
        *("CAST(x'6465616c3a0041' AS TEXT)", "''", "NULL"),
    ],
)
@pytest.mark.parametrize("pattern", ["*", "d*", "deal:*", "*:*", "*[!x]"])
async def test_names_that_no_call_can_use_do_not_break_listings(
    key: str, pattern: str, store: SQLiteBackend, path: Path
) -> None:
    await store.set_many({"deal:a": {"n": 1}, "deal:z": {"n": 2}})
    execute(path, f"INSERT INTO kv_store (key, value) VALUES ({key}, '1')")
    assert await store.keys(pattern) == ["deal:a", "deal:z"]
    assert await store.scan(pattern) == ([("deal:a", {"n": 1}), ("deal:z", {"n": 2})], None)
    assert await store.scan(pattern, limit=1, cursor=(await store.scan(pattern, limit=1)).cursor) == (
        [("deal:z", {"n": 2})],
        None,
    )
    assert await store.count(pattern) == 2
    assert [[entry.key for entry in page] async for page in store._entry_pages("", None)] == [["deal:a", "deal:z"]]


@pytest.mark.parametrize("expires_at", ["'soon'", "x'00'", "9e999", "-9e999", "0"])
async def test_an_expiry_that_is_no_time(expires_at: str, store: SQLiteBackend, path: Path) -> None:
    """Whatever it is taken for: all operations agree, and only our errors come."""
    await store.set("key", 1)
    execute(path, f"UPDATE kv_store SET expires_at = {expires_at}")
    there = await store.exists("key")
    assert (await store.get("key") == 1) is there
    assert await store.get_many(["key"]) == ({"key": 1} if there else {})
    assert await store.keys() == (["key"] if there else [])
    result, *_ = await asyncio.gather(store.ttl("key"), return_exceptions=True)
    if there:
        assert result is None
    else:
        assert isinstance(result, StorageError)
        assert result.key == "key"
    assert "operand" not in str(result)
    await store.set("key", 2)
    assert await store.ttl("key") is None


async def test_every_kind_of_damage_is_set_aside(store: SQLiteBackend, path: Path) -> None:
    for number, text in enumerate(DAMAGE.values()):
        await store.set(f"deal:{number}", 1)
        execute(path, f"UPDATE kv_store SET value = {text} WHERE key = 'deal:{number}'")
    done = [each async for each in repair(store)]
    assert [each.what for each in done] == ["set aside"] * len(DAMAGE)
    assert await store.list_deals() == []
    assert len((await store.scan("damaged:*")).items) == len(DAMAGE)
