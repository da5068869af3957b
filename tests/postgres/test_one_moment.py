"""Listings of any size show one moment, also while an entry is moved from one end to the other by one commit."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from typing import Any

import asyncpg
import pytest

from ad_seller.storage.driver.commit import Commit, Delete, Put
from ad_seller.storage.postgres_backend import PostgresBackend
from tests.engines import engine_of
from tests.postgres.support import connections, sql

NUMBER = 25_000  #: entries that stay; more than any one statement lists

Listing = Callable[[PostgresBackend], Coroutine[Any, Any, int]]
LISTINGS: dict[str, Listing] = {}


def listing(function: Listing) -> Listing:
    LISTINGS[function.__name__] = function
    return function


@listing
async def keys(storage: PostgresBackend) -> int:
    return len(await storage.keys("order:*"))


@listing
async def keys_of_a_pattern(storage: PostgresBackend) -> int:
    return len(await storage.keys("order:?*"))


@listing
async def count(storage: PostgresBackend) -> int:
    return await storage.count("order:*")


@listing
async def scan(storage: PostgresBackend) -> int:
    return len((await storage.scan("order:*")).items)


@listing
async def scan_with_a_limit(storage: PostgresBackend) -> int:
    return len((await storage.scan("order:*", limit=2 * NUMBER)).items)


@listing
async def records(storage: PostgresBackend) -> int:
    return len(await storage.list_orders())


@listing
async def found_records(storage: PostgresBackend) -> int:
    return len(await storage.list_orders({"status": "open"}))


@pytest.fixture
async def storage(postgres_url: str) -> AsyncIterator[PostgresBackend]:
    async with PostgresBackend(postgres_url, timeout=30) as storage:
        await storage.set_many(
            {f"order:k{n:06}": {"status": "open"} for n in range(NUMBER)} | {"order:a": {"status": "open"}}
        )
        yield storage


@asynccontextmanager
async def moving(url: str) -> AsyncIterator[None]:
    """Have another instance move one entry to and fro."""
    end = asyncio.Event()

    async def move() -> None:
        text = b'{"status":"open"}'
        async with PostgresBackend(url) as other:
            engine = await engine_of(other)
            while not end.is_set():
                for here, there in (("order:a", "order:z"), ("order:z", "order:a")):
                    assert await engine.apply([Commit((), (Delete(here), Put(there, text)))]) == [[True, True]]

    task = asyncio.create_task(move())
    try:
        yield
    finally:
        end.set()
        await task


async def test_one_moment(storage: PostgresBackend, postgres_url: str) -> None:
    wrong: dict[str, list[int]] = {}
    async with moving(postgres_url):
        for name, count_ in LISTINGS.items():
            seen = [await count_(storage) for _ in range(6)]
            if set(seen) != {NUMBER + 1}:
                wrong[name] = seen
    assert not wrong


async def test_what_is_given_up_ends_soon_and_leaves_no_transaction(
    storage: PostgresBackend, postgres_url: str
) -> None:
    await keys(storage)
    for pause in (0.0, 0.001, 0.01, 0.02, 0.05):
        task = asyncio.create_task(records(storage))
        await asyncio.sleep(pause)
        task.cancel()
        await asyncio.wait([task])
    assert await records(storage) == NUMBER + 1
    open_ones = "SELECT 1 FROM pg_stat_activity WHERE datname = current_database() AND state LIKE 'idle in%'"
    for _ in range(1500):
        if not await sql(postgres_url, open_ones):
            return
        await asyncio.sleep(0.02)
    pytest.fail("a transaction is still open")


async def test_a_session_that_ends_in_the_middle(storage: PostgresBackend, postgres_url: str) -> None:
    other = await asyncpg.connect(postgres_url)
    end_all = (
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = current_database() "
        "AND pid <> pg_backend_pid() AND backend_type = 'client backend'"
    )
    for pause in (0.0, 0.002, 0.01, 0.03, 0.05):
        task = asyncio.create_task(records(storage))
        await asyncio.sleep(pause)
        await other.fetch(end_all)
        assert await task == NUMBER + 1
    await other.close()
    assert await connections(postgres_url) <= 10


async def test_a_small_listing_is_one_statement(postgres_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    sent: list[str] = []
    fetch = asyncpg.Connection.fetch

    async def noted(self: Any, statement: str, *parameters: Any) -> Any:
        sent.append(statement)
        return await fetch(self, statement, *parameters)

    async with PostgresBackend(postgres_url, sweep_interval=None) as storage:
        await storage.set_many({f"k:{n:03}": n for n in range(700)})
        monkeypatch.setattr(asyncpg.Connection, "fetch", noted)
        assert len(await storage.keys("k:*")) == len((await storage.scan("k:*", limit=1000)).items) == 700
        assert len(sent) == 2
