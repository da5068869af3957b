"""Expired rows: invisible at once, kept until the sweeper comes, and never kept from it by a restart."""

from __future__ import annotations

import asyncio
import time
from pathlib import Path

import pytest

from ad_seller.storage.runtime import sweeper
from ad_seller.storage.sqlite import statements as sqlite_sql
from ad_seller.storage.sqlite.engine import SQLiteEngine
from ad_seller.storage.sqlite_backend import SQLiteBackend
from tests.clock import SetClock

from .support import execute, plain


def rows(path: Path) -> int:
    [(number,)] = execute(path, "SELECT count(*) FROM kv_store")
    return int(number)


async def wait_for_rows(path: Path, number: int) -> None:
    for _ in range(3000):
        if rows(path) == number:
            return
        await asyncio.sleep(0.01)
    raise AssertionError(f"{rows(path)} rows in place of {number}")


async def test_many_expired_rows_go_in_small_steps(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    clock = SetClock()
    steps: list[int] = []
    sweep = SQLiteEngine.sweep

    async def counted(self: SQLiteEngine, limit: int) -> int:
        removed = await sweep(self, limit)
        steps.append(removed)
        return removed

    monkeypatch.setattr(SQLiteEngine, "sweep", counted)
    monkeypatch.setattr(sweeper, "SWEEP_PAUSE", 0.001)
    async with SQLiteBackend(str(path), clock=clock, sweep_interval=0.02) as store:
        await store.set_many({f"gone:{number}": number for number in range(1950)}, ttl=10)
        await store.set_many({f"later:{number}": number for number in range(100)}, ttl=20)
        await store.set_many({f"stays:{number}": number for number in range(100)})
        await asyncio.sleep(0.05)
        assert rows(path) == 2150
        clock.now += 10
        assert await store.count() == 200
        await wait_for_rows(path, 200)
        assert await store.keys("later:*") == sorted(f"later:{number}" for number in range(100))
    assert sum(steps) == 1950
    assert max(steps) <= 500


async def test_a_sweep_without_expired_rows_does_not_write(store: SQLiteBackend, path: Path) -> None:
    """So it takes no lock away from writers; a step that is not full does not take what is to expire later."""
    await store.set_many({f"soon:{number}": number for number in range(3)}, ttl=10)
    await store.set_many({f"later:{number}": number for number in range(3)}, ttl=1000)
    await store.set("stays", 1)
    statements: list[str] = []
    with plain(path) as db:
        db.set_trace_callback(statements.append)
        assert sqlite_sql.sweep(db, 500, time.time()) == 0
        assert not [statement for statement in statements if "DELETE" in statement]
        assert sqlite_sql.sweep(db, 500, time.time() + 100) == 3
    assert await store.keys() == ["later:0", "later:1", "later:2", "stays"]


async def test_expired_rows_stay_until_the_sweep(path: Path) -> None:
    clock = SetClock()
    async with SQLiteBackend(str(path), clock=clock, sweep_interval=None) as store:
        await store.set_many({"a": 1, "b": 2}, ttl=10)
        clock.now += 10
        assert await store.scan() == ([], None)
        assert rows(path) == 2
        await store.set("a", 3)
        assert await store.scan() == ([("a", 3)], None)
        assert rows(path) == 2


async def test_expiry_survives_a_restart(path: Path) -> None:
    clock = SetClock()
    async with SQLiteBackend(str(path), clock=clock) as store:
        await store.set_many({"short": 1, "long": 2}, ttl=10)
        await store.set("long", 2, ttl=20)
    clock.now += 10
    async with SQLiteBackend(str(path), clock=clock) as store:
        assert await store.scan() == ([("long", 2)], None)
        assert await store.ttl("long") == 10
        clock.now += 10
        assert await store.scan() == ([], None)


async def test_a_sweep_waits_for_nobody_and_comes_again(path: Path) -> None:
    """Another process holds the write lock: the sweep leaves at once, writes wait, and later it succeeds."""
    clock = SetClock()
    async with SQLiteBackend(str(path), clock=clock, sweep_interval=0.05) as store:
        await store.set("gone", 1, ttl=10)
        clock.now += 10
        with plain(path) as db:
            db.execute("BEGIN IMMEDIATE")
            await asyncio.sleep(0.3)
            assert await store.get("gone") is None
            db.execute("ROLLBACK")
        await wait_for_rows(path, 0)


async def test_the_sweeper_finds_its_rows_by_an_index(store: SQLiteBackend, path: Path) -> None:
    [(_, _, _, detail)] = execute(
        path, "EXPLAIN QUERY PLAN SELECT key FROM kv_store WHERE expires_at IS NOT NULL AND expires_at <= 5 LIMIT 9"
    )
    assert "kv_store_expiry" in detail
