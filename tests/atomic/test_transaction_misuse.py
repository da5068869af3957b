"""Transactions that are used wrongly, that fail, or that are too large: a clear error, and nothing is written."""

# ruff: noqa: PT012 - the end of a block raises here
from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import nullcontext
from typing import Any

import pytest

from ad_seller.storage import (
    ConflictError,
    InvalidArgumentError,
    InvalidValueError,
    StorageBackend,
    Transaction,
    TransactionError,
)
from tests.amounts import MORE, times

from .conftest import Engine
from .support import Address, settled


def not_async(tx: Transaction) -> int:
    return 1


class TestMisuse:
    async def test_an_exception_leaves_nothing(self, backend: StorageBackend) -> None:
        with pytest.raises(ZeroDivisionError):
            async with backend.transaction() as tx:
                await tx.set("a", 1)
                await tx.set("b", 1 // 0)
        with pytest.raises(InvalidValueError):
            async with backend.transaction() as tx:
                await tx.set("a", 1)
                await tx.set("b", float("nan"))
        assert await backend.keys() == []

    async def test_a_caught_bad_value_keeps_the_value_before(self, backend: StorageBackend) -> None:
        async with backend.transaction() as tx:
            await tx.set("a", 1)
            with pytest.raises(InvalidValueError):
                await tx.set("a", float("nan"))
        assert await backend.get("a") == 1

    async def test_nested(self, backend: StorageBackend) -> None:
        async with backend.transaction() as outer:
            await outer.set("a", 1)
            with pytest.raises(TransactionError):
                async with backend.transaction():
                    pass
            with pytest.raises(TransactionError):
                await backend.transact(lambda tx: tx.set("b", 1))
            with pytest.raises(TransactionError):
                await backend.run_once("s", "k", 1, lambda tx: tx.set("b", 1))
        async with backend.transaction():
            pass
        assert await backend.keys() == ["a"]

    async def test_before_after_and_again(self, backend: StorageBackend) -> None:
        tx = backend.transaction()
        with pytest.raises(TransactionError):
            await tx.get("a")
        async with tx:
            await tx.set("a", 1)
            with pytest.raises(TransactionError):
                await tx.__aenter__()
        await backend.set("a", 2)
        for call in (tx.get("a"), tx.exists("a"), tx.set("a", 3), tx.delete("a"), tx.create("a", 3), tx.scan()):
            with pytest.raises(TransactionError):
                await call
        with pytest.raises(TransactionError):
            async with tx:
                pass
        assert await backend.get("a") == 2

    async def test_in_another_task(self, backend: StorageBackend) -> None:
        async with backend.transaction() as tx:
            for call in (tx.get("a"), tx.set("a", 1), tx.list_deals()):
                with pytest.raises(TransactionError):
                    await asyncio.create_task(call)
            async with asyncio.timeout(20):
                await tx.set("a", 2)
        assert await backend.get("a") == 2

    async def test_each_task_may_have_its_own(self, backend: StorageBackend) -> None:
        async def own(key: str) -> None:
            async with backend.transaction() as tx:
                await tx.set(key, 1)

        async with backend.transaction() as tx:
            await asyncio.create_task(own("a"))
            await tx.set("b", 1)
        assert await backend.keys() == ["a", "b"]

    @pytest.mark.parametrize("work", [None, 1, not_async], ids=["None", "int", "not async"])
    async def test_work_that_is_no_async_function(self, backend: StorageBackend, work: Any) -> None:
        calls: list[Callable[[], Awaitable[Any]]] = [
            lambda: backend.transact(work),
            lambda: backend.run_once("s", "k", 1, work),
        ]
        for call in calls:
            with pytest.raises(InvalidArgumentError):
                await call()
        assert await backend.keys() == []

    async def test_leaves_no_task(self, backend: StorageBackend) -> None:
        before = asyncio.all_tasks()
        with pytest.raises(ZeroDivisionError):
            async with backend.transaction() as tx:
                await tx.get("a")
                _ = 1 // 0
        await settled(before)


LARGE = times(40_001, in_ci=100_001)  #: writes of one commit: more than any engine takes in one statement or script


class TestSize:
    async def test_very_many_writes_are_one_commit(self, engine: Engine, address: Address) -> None:
        async with address.open(timeout=30) as storage:
            async with storage.transaction() as tx:
                await tx.get("watched")
                for number in range(LARGE):
                    await tx.set(f"k{number}", number)
            assert await storage.count("k*") == LARGE
            with pytest.raises(ConflictError):
                async with storage.transaction() as tx:
                    await tx.get(f"k{LARGE - 1}")
                    await storage.set(f"k{LARGE - 1}", 0)
                    for number in range(LARGE):
                        await tx.set(f"other{number}", number)
            assert await storage.count("other*") == 0

    async def test_more_than_the_engine_takes_is_refused_whole(self, address: Address) -> None:
        """Redis takes 200,000 reads and writes in one commit; SQLite and memory any number."""
        number = 200_001 if address.kind == "redis" or MORE else LARGE
        refused = pytest.raises(InvalidArgumentError, match="split") if address.kind == "redis" else nullcontext()
        async with address.open(timeout=30) as storage:
            with refused:
                async with storage.transaction() as tx:
                    for key in range(number):
                        await tx.set(f"k{key}", 0)
            assert await storage.count("k*") == (0 if address.kind == "redis" else number)
            await storage.set("k", 1)
