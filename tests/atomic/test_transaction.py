"""Transactions: what they see, what they leave, when they conflict."""

# ruff: noqa: PT012 - the end of a block raises here
from __future__ import annotations

import asyncio
from typing import Any

import pytest

from ad_seller.storage import DELETE, KEEP, LEAVE, PREFIXES, ConflictError, StorageBackend, Transaction
from ad_seller.storage.testing.conformance.rows import rows


class TestOwnView:
    async def test_reads_see_own_writes_and_others_see_nothing(self, backend: StorageBackend) -> None:
        await backend.set("a", 1)
        async with backend.transaction() as tx:
            await tx.set("a", 2)
            await tx.set("b", {"list": [1]})
            assert [await tx.get("a"), await tx.exists("b"), await tx.get("missing")] == [2, True, None]
            copy = await tx.get("b") or {}
            copy["list"].append(2)
            assert await tx.get("b") == {"list": [1]}
            assert [await backend.get("a"), await backend.get("b")] == [1, None]
        assert [await backend.get("a"), await backend.get("b")] == [2, {"list": [1]}]

    async def test_what_is_stored_is_what_was_given_then(self, backend: StorageBackend) -> None:
        value = {"n": 1}
        async with backend.transaction() as tx:
            await tx.set("a", value)
            value["n"] = 2
        assert await backend.get("a") == {"n": 1}

    async def test_delete_then_create(self, backend: StorageBackend) -> None:
        await backend.set("a", 1, ttl=100)
        async with backend.transaction() as tx:
            assert await tx.create("a", 2) is False
            assert [await tx.delete("a"), await tx.delete("a"), await tx.exists("a")] == [True, False, False]
            assert await tx.create("a", 3) is True
            assert await tx.create("a", 4) is False
        assert [await backend.get("a"), await backend.ttl("a")] == [3, None]

    async def test_a_created_entry_can_be_deleted_again(self, backend: StorageBackend) -> None:
        async with backend.transaction() as tx:
            assert await tx.create("a", 1)
            assert await tx.delete("a")
        assert not await backend.exists("a")

    async def test_update_and_its_markers(self, backend: StorageBackend) -> None:
        await backend.set_many({"a": 1, "b": 2, "c": 3}, ttl=100)
        async with backend.transaction() as tx:
            assert await tx.update("a", lambda a: a + 1) == 2
            assert await tx.update("a", lambda a: a + 1) == 3
            assert await tx.update("b", lambda _: DELETE) is None
            assert await tx.update("c", lambda _: LEAVE) == 3
        assert await backend.get_many(["a", "b", "c"]) == {"a": 3, "c": 3}
        assert (await backend.ttl("a") or 0) > 90

    async def test_expiry_is_given_kept_or_removed(self, backend: StorageBackend) -> None:
        await backend.set_many({"kept": 0, "anew": 0, "never": 0, "twice": 0}, ttl=100)
        async with backend.transaction() as tx:
            await tx.set("kept", 1, KEEP)
            await tx.set("anew", 1, 10)
            await tx.set("never", 1)
            await tx.set("twice", 1, 10)
            await tx.set("twice", 2, KEEP)
        left = {key: await backend.ttl(key) for key in await backend.keys()}
        assert left.pop("never") is None
        assert {key: round(seconds or 0, -1) for key, seconds in left.items()} == {
            "kept": 100,
            "anew": 10,
            "twice": 10,
        }

    async def test_listings_see_own_writes(self, backend: StorageBackend) -> None:
        for name in ("a", "b", "c"):
            await backend.set_order(name, {"id": name, "status": "draft"})
        async with backend.transaction() as tx:
            await tx.delete_order("a")
            await tx.set_order("b", {"id": "b", "status": "booked"})
            await tx.set_order("aa", {"id": "aa", "status": "draft"})
            assert [order["id"] for order in await tx.list_orders()] == ["aa", "b", "c"]
            assert [order["id"] for order in await tx.list_orders({"status": "draft"})] == ["aa", "c"]

    @rows("entity", PREFIXES)
    async def test_every_helper_is_there(self, backend: StorageBackend, entity: str) -> None:
        await getattr(backend, f"set_{entity}")("old", {"n": 0})
        async with backend.transaction() as tx:
            helpers = [getattr(tx, f"{verb}_{entity}") for verb in ("get", "set", "delete", "update")]
            get, set_, delete, update = helpers
            await set_("new", {"n": 1})
            await update("new", lambda record: record | {"n": 2})
            assert await delete("old")
            assert await get("new") == {"n": 2}
            assert await getattr(tx, f"list_{entity}s")() == [{"n": 2}]
        assert await backend.keys() == [f"{PREFIXES[entity]}new"]

    async def test_the_indexes_too(self, backend: StorageBackend) -> None:
        async with backend.transaction() as tx:
            await tx.add_session_to_buyer_index("s1", "adv")
            await tx.add_session_to_buyer_index("s2", "adv")
            await tx.remove_session_from_buyer_index("s1", "adv")
            assert await tx.get_buyer_session_ids("adv") == ["s2"]
            assert await tx.get_agent_id_by_url("https://x") is None
        assert await backend.get_buyer_session_ids("adv") == ["s2"]


class TestConflict:
    async def overtaken(self, backend: StorageBackend, read: Any, change: Any) -> None:
        """A transaction reads, somebody changes what was read, and it must not write."""
        with pytest.raises(ConflictError):
            async with backend.transaction() as tx:
                await read(tx)
                await change
                await tx.set("result", 1)
        assert not await backend.exists("result")

    async def test_a_read_that_changed(self, backend: StorageBackend) -> None:
        await backend.set_many({"order:a": 1, "order:b": 2})
        await self.overtaken(backend, lambda tx: tx.get("order:a"), backend.set("order:a", 2))
        await self.overtaken(backend, lambda tx: tx.get("order:a"), backend.delete("order:a"))
        await self.overtaken(backend, lambda tx: tx.exists("x"), backend.set("x", None))
        await self.overtaken(backend, lambda tx: tx.delete("y"), backend.set("y", 1))
        await self.overtaken(backend, lambda tx: tx.create("z", 1), backend.set("z", 1))
        await self.overtaken(backend, lambda tx: tx.list_orders(), backend.set("order:b", 3))

    async def test_a_filtered_listing_watches_what_it_found(self, backend: StorageBackend) -> None:
        for number in range(4):
            await backend.set_order(str(number), {"n": number, "status": "draft" if number < 2 else "booked"})

        async def read(tx: Any) -> None:
            await tx.get_order("3")
            await tx.set_order("1", {"n": 10, "status": "draft"})
            await tx.set_order("2", {"n": 20, "status": "booked"})
            assert [order["n"] for order in await tx.list_orders({"status": "draft"})] == [0, 10]

        await self.overtaken(backend, read, backend.set_order("0", {"n": 0, "status": "booked"}))
        await backend.set_order("0", {"n": 0, "status": "draft"})
        await self.overtaken(backend, read, backend.set_order("3", {"n": 3, "status": "draft"}))

    async def test_what_a_filtered_listing_passed_over_is_not_watched(self, backend: StorageBackend) -> None:
        await backend.set_order("a", {"status": "draft"})
        await backend.set_order("b", {"status": "booked"})
        async with backend.transaction() as tx:
            assert len(await tx.list_orders({"status": "draft"})) == 1
            await backend.set_order("b", {"status": "completed"})
            await tx.set("result", 1)
        assert await backend.exists("result")

    async def test_names_the_key(self, backend: StorageBackend) -> None:
        with pytest.raises(ConflictError, match="'a'") as raised:
            async with backend.transaction() as tx:
                await tx.create("a", 1)
                await backend.set("a", 2)
        assert raised.value.key == "a"

    async def test_a_change_there_and_back_is_none(self, backend: StorageBackend) -> None:
        await backend.set("a", 1)
        async with backend.transaction() as tx:
            await tx.get("a")
            await backend.set("a", 2)
            await backend.set("a", 1)
            await tx.set("b", 1)
        assert await backend.get("b") == 1

    async def test_writes_without_a_read_do_not_conflict(self, backend: StorageBackend) -> None:
        async with backend.transaction() as tx:
            await tx.set("a", 1)
            await backend.set("a", 2)
        assert await backend.get("a") == 1

    async def test_reading_alone_is_checked_too(self, backend: StorageBackend) -> None:
        await backend.set_many({"a": 1, "b": 1})
        with pytest.raises(ConflictError):
            async with backend.transaction() as tx:
                await tx.get("a")
                await backend.set_many({"a": 2, "b": 2})
                await tx.get("b")

    async def test_of_two_that_read_what_the_other_writes_one_fails(self, backend: StorageBackend) -> None:
        """No write skew: two on call, each signs off because the other is there."""
        await backend.set_many({"a": "on", "b": "on"})
        both = asyncio.Barrier(2)

        async def sign_off(me: str, other: str) -> bool:
            try:
                async with backend.transaction() as tx:
                    assert await tx.get(other) == "on"
                    await both.wait()
                    await tx.set(me, "off")
            except ConflictError:
                return False
            return True

        assert sorted(await asyncio.gather(sign_off("a", "b"), sign_off("b", "a"))) == [False, True]
        assert sorted((await backend.get_many(["a", "b"])).values()) == ["off", "on"]

    async def test_transact_tries_again(self, backend: StorageBackend) -> None:
        runs: list[int] = []

        async def work(tx: Transaction) -> str:
            runs.append(await tx.get("n") or 0)
            if len(runs) < 3:
                await backend.set("n", len(runs))
            await tx.set("m", len(runs))
            return "done"

        assert await backend.transact(work) == "done"
        assert (runs, await backend.get("m")) == ([0, 1, 2], 3)
