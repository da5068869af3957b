"""What a listing costs on SQLite: the range of an index, and few hops to the threads."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiosqlite
import pytest

from ad_seller.storage.sqlite.worker import Worker
from ad_seller.storage.sqlite_backend import SQLiteBackend

from .support import execute

LISTINGS: dict[str, Any] = {
    "list_deals": lambda store: store.list_deals(),
    "keys": lambda store: store.keys("deal:*"),
    "scan": lambda store: store.scan("deal:*"),
    "count": lambda store: store.count("deal:*"),
    "keys with a wildcard inside": lambda store: store.keys("deal:*5*"),
    "scan with a class": lambda store: store.scan("deal:[0-4]*"),
    "list_quotes with filters": lambda store: store.list_quotes({"status": "open"}),
}


@pytest.fixture
def hops(monkeypatch: pytest.MonkeyPatch) -> list[object]:
    """What was handed to the thread of a connection, from now on."""
    found: list[object] = []
    run, begin = Worker.run, Worker.begin

    async def noted(self: Worker, function: Any) -> Any:
        found.append(function)
        return await run(self, function)

    def noted_beginning(self: Worker, function: Any, tell: Any) -> None:
        found.append(function)
        begin(self, function, tell)

    monkeypatch.setattr(Worker, "run", noted)
    monkeypatch.setattr(Worker, "begin", noted_beginning)
    return found


@pytest.fixture
async def filled(path: Path) -> AsyncIterator[SQLiteBackend]:
    """1,000 deals among 20,000 entries."""
    async with SQLiteBackend(str(path), synchronous="NORMAL") as store:
        await store.set_many({f"deal:{number:06}": {"n": number} for number in range(1000)})
        for kind in ("order", "change_request", "quote"):
            await store.set_many({f"{kind}:{number:06}": {"n": number} for number in range(6333)})
        yield store


@pytest.mark.parametrize("name", LISTINGS)
async def test_at_most_three_hops_to_a_thread(name: str, filled: SQLiteBackend, hops: list[object]) -> None:
    hops.clear()
    await LISTINGS[name](filled)
    assert 1 <= len(hops) <= 3


async def test_large_values_are_not_read_on_the_event_loop(path: Path, hops: list[object]) -> None:
    async with SQLiteBackend(str(path), synchronous="NORMAL") as store:
        await store.set_many({f"large:{number}": "x" * 1_000_000 for number in range(50)})
        hops.clear()
        assert len(await store.get_many([f"large:{number}" for number in range(50)])) == 50
        assert len(hops) == 1


@pytest.mark.parametrize("name", LISTINGS)
async def test_a_listing_searches_a_range_of_the_index(name: str, filled: SQLiteBackend, path: Path) -> None:
    """The statements that really run, as SQLite reports them, and what it plans for them."""
    statements: list[str] = []
    async with watched(filled) as reader:
        await reader.set_trace_callback(statements.append)
        await LISTINGS[name](filled)
        await reader.set_trace_callback(lambda _: None)
    statements = [statement for statement in statements if "kv_store" in statement]
    assert statements
    for statement in statements:
        plan = " / ".join(row[3] for row in execute(path, f"EXPLAIN QUERY PLAN {statement}"))
        assert re.search(
            r"SEARCH kv_store USING (COVERING )?INDEX \S+ \((<expr>=\?|key>\? AND key<\?)\)", plan
        ) or (plan == "SEARCH kv_store USING COVERING INDEX kv_store_expiry (expires_at>? AND expires_at<?)"), plan
        assert "TEMP B-TREE" not in plan or "<expr>=?" in plan, "only what a filter found is sorted"


async def test_the_work_grows_with_the_prefix_and_not_with_the_file(path: Path) -> None:
    """Counted in steps of SQLite's virtual machine, which no other load on the machine changes."""
    async with SQLiteBackend(str(path), synchronous="NORMAL") as store:
        await store.set_many({f"deal:{number:06}": {"n": number} for number in range(1000)})
        alone = await steps_of_listings(store)
        for kind in ("a", "dea", "deal", "deals", "order"):
            await store.set_many({f"{kind}:{number:06}": {"n": number} for number in range(1000, 11_000)})
        await store.delete_many(await store.keys("deal:0[01]1*"))
        await store.set_many({f"deal:{number:06}": {"n": number} for number in range(1000)})
        await store.delete_many([f"deal:{number:06}" for number in range(1000, 11_000)])
        among_many = await steps_of_listings(store)
    assert 100 < among_many < 1.05 * alone + 100, (alone, among_many)


async def steps_of_listings(store: SQLiteBackend) -> int:
    count = 0

    def counted() -> int:
        nonlocal count
        count += 1
        return 0

    async with watched(store) as reader:
        await reader.set_progress_handler(counted, 10)
        assert len((await store.scan("deal:*")).items) == 1000
        assert len(await store.keys("deal:*")) == 1000
        assert await store.count("deal:*") == 1000
        assert len(await store.list_deals()) == 1000
        await reader.set_progress_handler(lambda: 0, 1_000_000)
    return count


@asynccontextmanager
async def watched(store: SQLiteBackend) -> AsyncIterator[aiosqlite.Connection]:
    """The connection that listings use."""
    assert store._shared.current is not None
    await store.keys("nothing")  # opens it
    yield store._shared.current.reader.connection
