"""What type checkers are to see, as a seller agent's author writes it: mypy and pyright check this file.

Nothing here runs. `assert_type` says what a result is. A line with an ``ignore`` holds a mistake that both must
find: if one no longer does, it reports the comment as unnecessary. `tests/types/test_usage.py` runs pyright.
"""

from __future__ import annotations

from datetime import timedelta
from typing import Any, assert_type

from ad_seller.storage import (
    DELETE,
    KEEP,
    LEAVE,
    TTL,
    Capabilities,
    ChangeRequestFilters,
    Marker,
    OrderFilters,
    Page,
    QuoteFilters,
    Record,
    StorageBackend,
    Transaction,
    close_storage,
    get_storage,
    get_storage_backend,
    open_url,
)
from ad_seller.storage import sync as plain


def add_one(current: int | None) -> int:
    return (current or 0) + 1


def close_if_open(current: Record) -> Record | Marker:
    return current | {"status": "closed"} if current["status"] == "open" else LEAVE


async def opened() -> None:
    assert_type(open_url("sqlite:///x.db"), StorageBackend)
    assert_type(get_storage_backend("memory"), StorageBackend)
    assert_type(await get_storage(), StorageBackend)
    async with open_url("memory://") as storage:
        assert_type(storage, StorageBackend)
        assert_type(storage.capabilities, Capabilities)
    await close_storage()


async def entries(storage: StorageBackend) -> None:
    assert_type(await storage.exists("k"), bool)
    assert_type(await storage.keys("k*"), list[str])
    assert_type(await storage.get_many(["a", "b"]), dict[str, Any])
    assert_type(await storage.delete_many(["a"]), int)
    assert_type(await storage.ttl("k"), float | None)
    assert_type(await storage.scan("k*", limit=10), Page)
    async for key, value in storage.iterate("deal:*"):
        assert_type(key, str)
        assert_type(value, Any)
    times: list[TTL] = [1, 1.5, timedelta(hours=1)]
    for ttl in times:
        await storage.set("k", 1, ttl)
        await storage.set_session("s", {}, ttl)
        await storage.set_many({"k": 1}, ttl)
        await storage.set_quote("q", {"status": "available"}, ttl)
        await storage.create("k", 1, ttl=ttl)
    await storage.set("k", 1, ttl="1h")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    await storage.set_many({"k": 1}, "1h")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]


async def records(storage: StorageBackend) -> None:
    assert_type(await storage.get_order("o"), Record | None)
    assert_type(await storage.delete_order("o"), bool)
    assert_type(await storage.transition_order("o", "approved", actor="me"), Record)
    await storage.update_order("o", close_if_open, start={"status": "open"}, ttl=KEEP)
    await storage.set_order("o", None)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    await storage.set_order("o", [1])  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]


async def filters(storage: StorageBackend) -> None:
    quotes: QuoteFilters = {"status": "available", "product_id": "display"}
    orders: OrderFilters = {"status": None}
    requests: ChangeRequestFilters = {"order_id": "o"}
    assert_type(await storage.list_quotes(quotes), list[Record])
    assert_type(await storage.list_orders(orders), list[Record])
    assert_type(await storage.list_change_requests(requests), list[Record])
    await storage.list_orders({"status": "draft"})
    await storage.list_orders({"state": "draft"})  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]


async def changes(storage: StorageBackend) -> None:
    assert_type(await storage.update("n", add_one), int)
    assert_type(await storage.update("o", close_if_open), Record)
    assert_type(await storage.update("o", lambda _: DELETE), Any)
    assert_type(await storage.increment("n"), int)
    assert_type(await storage.compare_and_set("k", 1, 2), bool)


async def several(storage: StorageBackend) -> None:
    async def work(tx: Transaction) -> int:
        assert_type(await tx.get_order("o"), Record | None)
        assert_type(await tx.update("n", add_one), int)
        return 1

    assert_type(await storage.transact(work), int)
    assert_type(await storage.run_once("scope", "key", {"n": 1}, work), int)
    async with storage.transaction() as tx, storage.lease("l", 5) as lease:
        assert_type(tx, Transaction)
        assert_type(lease.fence, int)
        await tx.hold(lease)

    def no_work(tx: Transaction) -> int:
        return 1

    await storage.transact(no_work)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]


def without_await() -> None:
    with plain.open_url("memory://") as storage:
        assert_type(storage, plain.SyncStorage)
        assert_type(storage.backend, StorageBackend)
        assert_type(storage.exists("k"), bool)
        assert_type(storage.get_order("o"), Record | None)
        assert_type(storage.list_quotes({"status": "available"}), list[Record])
        assert_type(storage.update("n", add_one), int)
        assert_type(storage.update("o", lambda _: DELETE), Any)
        assert_type(storage.scan("k*"), Page)
        for key, _ in storage.iterate("k*"):
            assert_type(key, str)
        storage.set_quote("q", {"status": "available"}, timedelta(hours=1))
        storage.list_orders({"state": "draft"})  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
        storage.set_order("o", 5)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
        transactions(storage)
    assert_type(plain.get_storage(), plain.SyncStorage)
    plain.close_storage()


def transactions(storage: plain.SyncStorage) -> None:
    def work(tx: plain.SyncTransaction) -> list[Record]:
        assert_type(tx.update("n", add_one), int)
        assert_type(tx.get_order("o"), Record | None)
        return tx.list_orders()

    assert_type(storage.transact(work), list[Record])
    assert_type(storage.run_once("scope", "key", 1, work), list[Record])
    assert_type(storage.transact(lambda tx: tx.exists("k")), bool)
    with storage.transaction() as tx, storage.lease("l", 5, wait=1.5) as lease:
        assert_type(tx, plain.SyncTransaction)
        assert_type(lease, plain.SyncLease)
        tx.hold(lease)
