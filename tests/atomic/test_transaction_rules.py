"""Rules of transactions that the mutation run found untested: expiry, what a listing shows, what errors say."""

from __future__ import annotations

from typing import Any

import pytest

from ad_seller.storage import (
    KEEP,
    ConflictError,
    CorruptValueError,
    InvalidArgumentError,
    LeaseLostError,
    OrderFilters,
    StorageBackend,
    StorageError,
    Transaction,
)
from ad_seller.storage.driver.commit import Commit, Put


async def test_keeping_the_expiry_of_what_nobody_has_read(backend: StorageBackend) -> None:
    await backend.set("short", 1, ttl=60)
    await backend.set("for ever", 1)
    for key in ("short", "for ever", "new"):
        async with backend.transaction() as tx:
            await tx.set(key, 2, KEEP)
        assert await backend.get(key) == 2
    assert 0 < (await backend.ttl("short") or 0) <= 60
    assert await backend.ttl("for ever") is None
    assert await backend.ttl("new") is None


async def test_create_takes_a_time_to_live(backend: StorageBackend) -> None:
    async with backend.transaction() as tx:
        assert await tx.create("k", 1, ttl=60)
        assert not await tx.create("k", 2)
    assert await backend.get("k") == 1
    assert 0 < (await backend.ttl("k") or 0) <= 60


async def test_a_listing_shows_own_writes_that_match_and_no_others(backend: StorageBackend) -> None:
    await backend.set_many({"a:1": 1, "b:1": 2})
    async with backend.transaction() as tx:
        await tx.set("a:2", 3)
        await tx.set("b:2", 4)
        await tx.delete("a:1")
        assert (await tx.scan("a:*")).items == [("a:2", 3)]
        assert (await tx.scan("b:*")).items == [("b:1", 2), ("b:2", 4)]
        assert [key for key, _ in (await tx.scan()).items] == ["a:2", "b:1", "b:2"]


async def test_a_lease_that_was_taken_away_is_named(backend: StorageBackend) -> None:
    async def work(tx: Transaction) -> None:
        await tx.hold(lease)
        await tx.set("k", 1)
        await backend.delete("lease:sync")

    with pytest.raises(LeaseLostError, match="'lease:sync' is no longer held; nothing was written") as caught:
        async with backend.lease("sync", 60) as lease:
            await backend.transact(work)
    assert caught.value.key == "lease:sync"
    assert await backend.get("k") is None


@pytest.mark.parametrize("work", ["no function", 17], ids=repr)
async def test_work_that_cannot_be_called_is_shown(backend: StorageBackend, work: Any) -> None:
    with pytest.raises(InvalidArgumentError, match=f"must be an async function of a transaction, not {work!r}"):
        await backend.transact(work)


async def test_work_that_is_not_async_is_told_so(backend: StorageBackend) -> None:
    work: Any = lambda tx: 1  # noqa: E731 - what a user would write
    with pytest.raises(InvalidArgumentError, match=r"^The work must be an async function: write 'async def', not"):
        await backend.transact(work)


async def test_change_that_is_none_names_the_key(backend: StorageBackend) -> None:
    change: Any = 17
    async with backend.transaction() as tx:
        with pytest.raises(InvalidArgumentError, match="change for 'k'") as caught:
            await tx.update("k", change)
    assert caught.value.key == "k"


async def test_corrupt_entries_are_named_or_reported_and_left_out(backend: StorageBackend) -> None:
    if backend.capabilities.atomic == "process":
        return  # its values never were texts
    await backend.set_order("1", {"status": "booked"})
    await backend._atomic_commit(Commit((), (Put("order:2", b"{"),)))
    found: list[CorruptValueError] = []
    async with backend.transaction() as tx:
        assert await tx.list_orders(on_corrupt=found.append) == [{"status": "booked"}]
        assert (await tx.scan("order:*", on_corrupt=found.append)).items == [("order:1", {"status": "booked"})]
        assert [error.key for error in found] == ["order:2", "order:2"]
        with pytest.raises(CorruptValueError, match="order:2"):
            await tx.scan("order:*")


async def test_filtered_listings_report_corrupt_entries_unless_they_are_replaced(backend: StorageBackend) -> None:
    if backend.capabilities.atomic == "process":
        return  # its values never were texts
    booked = {"status": "booked"}
    wanted: OrderFilters = {"status": "booked"}
    await backend.set_many({"order:1": booked, "order:2": {"status": "new"}, "quote:1": booked})
    await backend._atomic_commit(Commit((), (Put("order:3", b"{"),)))
    found: list[CorruptValueError] = []
    async with backend.transaction() as tx:
        with pytest.raises(CorruptValueError, match="order:3"):
            await tx.list_orders(wanted)
        assert await tx.list_orders(wanted, on_corrupt=found.append) == [booked]
        assert [error.key for error in found] == ["order:3"]
        await tx.set_order("3", booked)
        await tx.set_order("4", booked)
        assert await tx.list_orders(wanted) == [booked] * 3
        assert await tx.list_orders() == [booked, {"status": "new"}, booked, booked]


async def test_reading_several_entries_is_one_moments_view_or_a_conflict(backend: StorageBackend) -> None:
    await backend.set_many({"a": 1, "b": 1})
    async with backend.transaction() as tx:
        assert (await tx.get("a"), await tx.get("b")) == (1, 1)
    tx = backend.transaction()
    await tx.__aenter__()
    await tx.get("a")
    await backend.set("a", 2)
    await tx.get("b")
    with pytest.raises(ConflictError, match="'a' was changed"):
        await tx.__aexit__(None, None, None)


async def test_keeping_the_expiry_of_what_was_deleted_is_none(backend: StorageBackend) -> None:
    await backend.set("k", 1, ttl=60)
    async with backend.transaction() as tx:
        await tx.delete("k")
        await tx.set("k", 2, KEEP)
    assert await backend.ttl("k") is None


async def test_what_is_refused_names_the_key(backend: StorageBackend) -> None:
    async with backend.transaction() as tx:
        for value, ttl in ((1, 0), ({1}, None)):
            with pytest.raises(StorageError) as caught:
                await tx.set("k", value, ttl)
            assert caught.value.key == "k"
    assert not await backend.exists("k")
