"""What is done to a store as a whole is done to one publisher's entries where it is given a namespace."""

from __future__ import annotations

from io import BytesIO
from pathlib import Path
from typing import Any

import pytest

from ad_seller.storage import InvalidArgumentError, NamespacedBackend, StorageBackend, UnsupportedError
from ad_seller.storage.memory_backend import MemoryBackend
from ad_seller.storage.operations import (
    RetentionRule,
    apply_retention,
    backup,
    copy_entries,
    erase,
    estimate,
    examine,
    export_entries,
    import_entries,
    place_hold,
    repair,
    verify,
)
from ad_seller.storage.sqlite_backend import SQLiteBackend
from tests.runtime.stores import store
from tests.sqlite.support import execute

__all__ = ["store"]

ENTRIES: dict[str, Any] = {
    "session:1": {"buyer_identity": {"advertiser_id": "adv-1"}, "messages": ["hello"]},
    "session_index:buyer:advertiser:adv-1": ["1"],
    "quote:1": {"buyer_id": "adv-1", "created_at": "2020-01-01T00:00:00Z"},
    "quote:2": {"buyer_id": "adv-2", "created_at": "2020-01-01T00:00:00Z"},
    "order:1": {"status": "booked", "quote_id": "gone"},
}


async def test_each_for_one_publisher_alone(store: StorageBackend, tmp_path: Path) -> None:
    async with store, NamespacedBackend(store, "a") as one, NamespacedBackend(store, "a:b") as other:
        for where in (store, one, other):
            await where.set_many(ENTRIES)
        await one.set("quote:soon", {"buyer_id": "adv-1"}, ttl=500)

        exported = BytesIO()
        assert (await export_entries(one, exported)).count == len(ENTRIES) + 1
        assert b"ns:" not in exported.getvalue()
        exported.seek(0)
        async with NamespacedBackend(store, "c") as third:
            assert (await import_entries(third, exported)).stored == len(ENTRIES) + 1
            assert await third.get_many(ENTRIES) == ENTRIES
            assert 490 < (await third.ttl("quote:soon") or 0) <= 500
            assert (await verify(one, third)).faults == 0
            assert (await verify(other, third)).faults == 1
        async with NamespacedBackend(store, "d") as fourth:
            copied = await copy_entries(one, fourth, checkpoint=tmp_path / "copy.json")
            assert (copied.stored, copied.verified.faults) == (len(ENTRIES) + 1, 0)
        about = await estimate(one)
        assert about is None or about == len(ENTRIES) + 1

        await place_hold(one, "case", ["quote:2"], reason="a complaint")
        rule = RetentionRule("quotes", prefix="quote:", since="created_at", older_than=60.0)
        [done] = [each async for each in apply_retention(one, [rule], dry_run=False, pause=0)]
        assert done.removed == 1
        assert await one.keys("quote:*") == ["quote:2", "quote:soon"]
        await erase(one, "adv-1", dry_run=False, pause=0)
        assert await one.get("session:1") is None
        for where in (store, other):
            assert await where.get_many(ENTRIES) == ENTRIES
        assert await other.keys() == sorted(ENTRIES)


async def test_a_store_is_not_copied_into_a_namespace_of_its_own(store: StorageBackend) -> None:
    async with store, NamespacedBackend(store, "a") as one, NamespacedBackend(one, "b") as within:
        await store.set_many(ENTRIES)
        with pytest.raises(InvalidArgumentError, match="part of the source"):
            await copy_entries(store, one)
        with pytest.raises(InvalidArgumentError, match="part of the source"):
            await copy_entries(store, within, prefix="ns:a:")
        assert sorted(await store.keys()) == sorted(ENTRIES)
        copied = await copy_entries(store, one, prefix="quote:")  # what lies outside goes in
        assert (copied.stored, copied.verified.faults) == (2, 0)
        with pytest.raises(InvalidArgumentError, match="part of the source"):
            await copy_entries(one, within)
        assert await one.keys() == ["quote:1", "quote:2"]


async def test_the_doctor_looks_at_the_engine_and_at_these_entries() -> None:
    whole = MemoryBackend()
    async with whole, NamespacedBackend(whole, "a") as one, NamespacedBackend(whole, "b") as other:
        await one.set_order("1", {"status": "booked", "deal_id": "gone"})
        of_the_engine = [each.rule for each in await examine(other)]
        assert of_the_engine == ["not-durable"]
        [found] = [each for each in await examine(one) if each.rule not in of_the_engine]
        assert "order:1" in found.examples[0]
        assert "ns:" not in repr(found)


async def test_an_unreadable_value_is_set_aside_in_its_namespace(tmp_path: Path) -> None:
    path = tmp_path / "store.db"
    whole = SQLiteBackend(str(path))
    async with whole, NamespacedBackend(whole, "a") as one, NamespacedBackend(whole, "b") as other:
        for where in (one, other):
            await where.set_deal("1", {})
        execute(path, "UPDATE kv_store SET value = '{' WHERE key LIKE 'ns:%:deal:1'")
        assert [each.key async for each in repair(one, dry_run=False)] == ["deal:1"]
        assert await one.keys("deal:*") == []
        assert len(await one.keys("damaged:*")) == 1
        assert await other.keys() == ["deal:1"]


async def test_a_backup_is_of_the_whole_file(tmp_path: Path) -> None:
    async with NamespacedBackend(SQLiteBackend(str(tmp_path / "store.db")), "a") as storage:
        with pytest.raises(UnsupportedError, match="one namespace"):
            await backup(storage, tmp_path / "saved.db")
