"""Calls without await: what they return, which thread runs what, and where they are refused."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from ad_seller.storage import (
    ConfigurationError,
    ConflictError,
    CorruptValueError,
    IdempotencyConflictError,
    InvalidArgumentError,
    InvalidKeyError,
    LeaseHeldError,
    LeaseLostError,
    NotConnectedError,
    TransactionError,
)
from ad_seller.storage.memory_backend import MemoryBackend
from ad_seller.storage.sync import (
    SyncStorage,
    SyncTransaction,
    get_storage_backend,
    open_url,
)


def test_the_methods_do_what_the_asynchronous_ones_do(storage: SyncStorage) -> None:
    storage.set("a", [1])
    storage.set_quote("q1", {"status": "available"}, ttl=60)
    storage.set_many({"b": 2, "c": 3})
    assert storage.get("a") == [1]
    assert storage.get("missing") is None
    assert storage.get_many(["c", "b"]) == {"c": 3, "b": 2}
    assert storage.list_quotes({"status": "available"}) == [{"status": "available"}]
    assert 30 < (storage.ttl("quote:q1") or 0) <= 60
    assert storage.update("b", lambda value: value + 1) == 3
    assert storage.increment("n", 5) == 5
    assert storage.keys("?") == ["a", "b", "c", "n"]
    assert storage.delete("a")
    assert not storage.exists("a")
    assert storage.capabilities == storage.backend.capabilities


def test_a_method_that_its_author_wrote_anew_is_the_one_that_runs() -> None:
    class Shouting(MemoryBackend):
        async def get_order(self, order_id: str) -> dict[str, Any] | None:
            await asyncio.sleep(0)
            return {"id": order_id.upper()}

    class Counting(MemoryBackend):
        gets = 0

        async def get(self, key: str) -> Any:
            self.gets += 1
            return await super().get(key)

    with SyncStorage(Shouting()) as storage:
        assert storage.get_order("o") == {"id": "O"}
        storage.set_deal("d", {"n": 1})
        assert storage.get_deal("d") == {"n": 1}
        assert storage.get_deal("none") is None
    with SyncStorage(counting := Counting()) as storage:
        storage.set_deal("d", {"n": 1})
        assert storage.get_deal("d") == storage.get("deal:d") == {"n": 1}
        assert counting.gets == 2


def test_pages_and_an_iterator_over_all(storage: SyncStorage) -> None:
    storage.set_many({f"k{number}": number for number in range(7)})
    page = storage.scan("k*", limit=3)
    assert [key for key, _ in page.items] == ["k0", "k1", "k2"]
    assert [value for _, value in storage.scan("k*", cursor=page.cursor).items] == [3, 4, 5, 6]
    entries = storage.iterate("k*", page_size=2)
    assert next(entries) == ("k0", 0)
    storage.set("k1", "changed")  # nothing is held while the iterator is paused
    assert dict(entries) == {"k1": 1, **{f"k{number}": number for number in range(2, 7)}}


def test_a_transaction_as_a_context(storage: SyncStorage) -> None:
    storage.set("left", 10)
    with storage.transaction() as tx:
        left = tx.get("left")
        assert left == 10
        tx.set("left", left - 1)
        tx.set_order("o1", {"status": "draft"})
        assert tx.get_order("o1") == {"status": "draft"}
        assert storage.get("left") == 10
    assert (storage.get("left"), storage.get_order("o1")) == (9, {"status": "draft"})
    with pytest.raises(TransactionError, match="has ended"):
        tx.get("left")

    def fail() -> None:
        with storage.transaction() as tx:
            tx.set("left", 0)
            raise KeyError("mine")

    with pytest.raises(KeyError, match="mine"):
        fail()
    assert storage.get("left") == 9

    def overtaken() -> None:
        with storage.transaction() as tx:
            tx.set("left", (tx.get("left") or 0) + 1)
            storage.set("left", 100)

    with pytest.raises(ConflictError):
        overtaken()


def test_work_runs_in_the_calling_thread_and_again_on_a_conflict(storage: SyncStorage) -> None:
    storage.set("n", 0)
    threads: list[int] = []

    def work(tx: SyncTransaction) -> int:
        threads.append(threading.get_ident())
        found: int = tx.get("n")  # type: ignore[assignment]
        if len(threads) == 1:
            storage.set("n", 41)
        tx.set("n", found + 1)
        return found + 1

    assert storage.transact(work) == 42
    assert storage.get("n") == 42
    assert threads == [threading.get_ident()] * 2


def test_run_once_with_a_plain_function(storage: SyncStorage) -> None:
    runs: list[int] = []

    def book(tx: SyncTransaction) -> dict[str, int]:
        runs.append(1)
        tx.set_deal("d1", {"n": len(runs)})
        return {"deal": len(runs)}

    assert [storage.run_once("book", "k1", {"q": 1}, book) for _ in range(3)] == [{"deal": 1}] * 3
    assert storage.get_deal("d1") == {"n": 1}
    with pytest.raises(IdempotencyConflictError):
        storage.run_once("book", "k1", {"q": 2}, book)
    with pytest.raises(TransactionError, match="inside of itself"):
        storage.run_once("a", "b", 1, lambda _: storage.run_once("a", "b", 1, lambda _: 1))


async def _async_work(tx: Any) -> None:
    raise AssertionError("never runs")


class _AsyncCall:
    async def __call__(self, tx: Any) -> None:
        raise AssertionError("never runs")


async def _async_generator(tx: Any) -> Any:
    yield 1


def _generator(tx: Any) -> Any:
    yield 1


def _returns_generator(tx: Any) -> Any:
    return _generator(tx)


NO_PLAIN = [_async_work, lambda tx: _async_work(tx), _AsyncCall(), _async_generator, _generator, _returns_generator]


@pytest.mark.parametrize("work", [*NO_PLAIN, None, 5])
def test_work_that_is_no_plain_function_is_refused(storage: SyncStorage, work: Any) -> None:
    for call in (storage.transact, lambda work: storage.run_once("s", "k", 1, work)):
        with pytest.raises(InvalidArgumentError, match="function"):
            call(work)
    assert storage.keys("*") == []


def test_errors_come_out_as_they_went_in(storage: SyncStorage) -> None:
    def fail(_: Any) -> Any:
        raise KeyError("mine")

    with pytest.raises(KeyError, match="mine"):
        storage.transact(fail)
    with pytest.raises(InvalidKeyError) as refused:
        storage.get("")
    assert refused.value.__context__ is None
    with pytest.raises(KeyError, match="mine"):
        storage.run_once("s", "k", 1, fail)
    with pytest.raises(KeyError, match="mine"):
        storage.update("k", fail)
    with pytest.raises(InvalidKeyError):
        storage.get("")
    assert storage.keys("*") == []


@pytest.mark.parametrize("leave", [SystemExit(3), KeyboardInterrupt(), GeneratorExit()])
def test_what_is_no_exception_leaves_nothing_behind(storage: SyncStorage, leave: BaseException) -> None:
    def work(tx: Any) -> None:
        if isinstance(tx, SyncTransaction):
            tx.set("k", 1)
        raise leave

    calls: list[Callable[[], object]] = [
        lambda: storage.transact(work),
        lambda: storage.run_once("s", "k", 1, work),
        lambda: storage.update("k", work),
    ]
    for call in calls:
        with pytest.raises(type(leave)) as caught:
            call()
        assert caught.value is leave
    assert storage.keys("*") == []
    assert storage.run_once("s", "k", 1, lambda _: "again") == "again"


def test_a_lease(storage: SyncStorage) -> None:
    with storage.lease("sync:gam", 5) as lease:
        lease.check()
        with pytest.raises(LeaseHeldError), storage.lease("sync:gam", 5):
            pass

        def guarded(tx: SyncTransaction) -> None:
            tx.hold(lease)
            tx.set("k", lease.fence)

        storage.transact(guarded)
    assert not lease.held
    assert storage.get("k") == lease.fence > 0
    assert storage.keys("lease:*") == []


def test_a_lease_that_was_lost_says_so_at_its_end(storage: SyncStorage) -> None:
    def hold(error: Exception | None) -> None:
        with storage.lease("l", 0.3) as lease:
            storage.delete(lease.key)
            time.sleep(0.5)
            with pytest.raises(LeaseLostError):
                lease.check()
            with pytest.raises(LeaseLostError):
                storage.transact(lambda tx: tx.hold(lease))
            if error is not None:
                raise error

    with pytest.raises(LeaseLostError):
        hold(None)
    with pytest.raises(KeyError) as caught:
        hold(KeyError("mine"))
    assert "not held" in caught.value.__notes__[0]


def test_corrupt_entries_are_reported_in_the_calling_thread(tmp_path: Path) -> None:
    import sqlite3

    with open_url(f"sqlite:///{tmp_path}/s.db") as storage:
        storage.set_many({"order:1": {"n": 1}, "order:2": {"n": 2}})
        with sqlite3.connect(tmp_path / "s.db") as db:
            db.execute("UPDATE kv_store SET value = 'no json' WHERE key = 'order:1'")
        db.close()
        seen: list[Any] = []

        def repair(error: CorruptValueError) -> None:
            seen.append((error.key, threading.get_ident()))
            storage.delete(error.key or "")

        assert storage.list_orders(on_corrupt=repair) == [{"n": 2}]
        assert seen == [("order:1", threading.get_ident())]
        assert storage.keys("*") == ["order:2"]
        with pytest.raises(InvalidArgumentError):
            storage.list_orders(on_corrupt=5)  # type: ignore[arg-type]


def test_used_before_and_after(storage: SyncStorage) -> None:
    fresh = get_storage_backend("memory")
    with pytest.raises(NotConnectedError):
        fresh.get("k")
    with pytest.raises(NotConnectedError):
        fresh.set("k", 1)
    with pytest.raises(NotConnectedError):
        fresh.transact(lambda tx: tx.get("k"))
    with fresh:
        fresh.set("k", 1)
    with pytest.raises(NotConnectedError):
        fresh.get("k")
    with pytest.raises(ConfigurationError):
        open_url("nonsense://x")
    assert repr(fresh) == f"SyncStorage({fresh.backend!r})"
