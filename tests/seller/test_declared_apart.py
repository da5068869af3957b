"""Indexes that one declares and another does not, on each engine: both find the same; the log says by which way."""

from __future__ import annotations

import asyncio
import logging
import random
import sqlite3
from pathlib import Path
from typing import Any

import asyncpg
import pytest

from ad_seller.storage import StorageBackend
from ad_seller.storage.records.filters import Condition, matches
from ad_seller.storage.records.indexes import Index
from ad_seller.storage.sqlite_backend import SQLiteBackend
from tests.atomic.support import Address, Worker

LONG = "x" * 20_000
OWNERS = ["o1", "o2", {"a": "o1"}, ["o1"], [], LONG, LONG[:-1] + "y", 1, 1.0, True, None, "\0", "öffen"]
QUESTIONS: list[dict[str, Any]] = [
    {"owner": "o1"},
    {"owner": 1},
    {"owner": LONG},
    {"owner.a": "o1"},
    {"team": "t1", "owner": "o2"},
]
THIRTY = [*(f"ticket.f{n}" for n in range(28)), "ticket.owner", "ticket.owner.a"]


@pytest.fixture(params=["sqlite", "postgres", "redis", "memory", "dict"])
def address(
    request: pytest.FixtureRequest, new_database: str, redis_url: str, redis_prefix: str, tmp_path: Path
) -> Address:
    """A store of the test's own."""
    match request.param:
        case "sqlite":
            return Address("sqlite", f"sqlite:///{tmp_path}/apart.db")
        case "postgres":
            return Address("postgres", new_database)
        case "redis":
            return Address("redis", redis_url, redis_prefix)
    return Address(request.param)


def records(choose: random.Random, prefix: str) -> dict[str, Any]:
    return {
        f"ticket:{prefix}{n}": {"owner": choose.choice(OWNERS), "team": f"t{n % 3}", "n": n}
        for n in choose.sample(range(40), 25)
    }


async def found(storage: StorageBackend) -> list[list[str]]:
    """The keys that each question finds, all at once and in pages from the other end."""
    answers = []
    for where in QUESTIONS:
        keys = [key for key, _ in (await storage.find("ticket", where)).items]
        paged: list[str] = []
        page = await storage.find("ticket", where, reverse=True, limit=4)
        paged += [key for key, _ in page.items]
        while page.cursor is not None:
            page = await storage.find("ticket", where, reverse=True, limit=4, cursor=page.cursor)
            paged += [key for key, _ in page.items]
        assert paged == keys[::-1]
        answers.append(keys)
    return answers


@pytest.mark.parametrize("address", ["sqlite", "postgres", "redis"], indirect=True)
async def test_two_processes_with_other_declarations_find_the_same_whoever_wrote(address: Address) -> None:
    """Fields that are a dict, a list or 20 KB of text now and then, and thirty indexes on one side."""
    mark = "&" if "?" in address.url else "?"
    url = f"{address.url}{mark}indexes=ticket.team,order.status"
    other = Worker(address._replace(url=url), "search_in_turns", QUESTIONS)
    choose = random.Random(5)
    try:
        async with address.open(indexes=THIRTY) as storage:
            assert await asyncio.to_thread(other.line) == "ready"
            for _turn in range(4):
                await storage.set_many(records(choose, "a"))
                await storage.delete("ticket:a3")
                other.go()
                theirs = await asyncio.to_thread(other.line)
                everything = (await storage.scan("ticket:*")).items
                expected = [
                    [key for key, value in everything if matches(value, conditions(where))] for where in QUESTIONS
                ]
                assert await found(storage) == expected
                assert theirs == expected
                assert sum(map(len, expected)) > 10
    finally:
        other.end()


def conditions(where: dict[str, Any]) -> tuple[Condition, ...]:
    return tuple(Condition(tuple(field.split(".")), value) for field, value in where.items())


async def test_the_log_says_which_index_finds_and_lists(address: Address, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG, "ad_seller.storage")
    async with address.open() as storage:
        await storage.set_order("O1", {"status": "open"})
        await storage.find("order", {"status": "open"})
        await storage.list_orders({"status": "open"})
        await storage.find("order", {"other": "open"})
        await storage.list_orders()
    said = [record.getMessage() for record in caplog.records if record.getMessage().startswith("Find ")]
    has_indexes = address.kind in ("sqlite", "postgres")
    ways = [line.partition(" by ")[2] for line in said]
    assert len(ways) == 3, said
    assert all(("status" in way and "the index" in way) == has_indexes for way in ways[:2])
    assert ways[2].startswith("reading them all")


class TestSomebodyElseHasTheName:
    """An index of ours is known by its name: where that is another's, finding is right, and slower."""

    async def test_on_sqlite(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr("ad_seller.storage.sqlite.finding._FEW", 0)
        monkeypatch.setattr("ad_seller.storage.sqlite.finding._LEAST_FEW", 0)
        path = tmp_path / "name.db"
        name = f"kv_store_ix_{Index('ticket', 'owner').name}"
        with sqlite3.connect(path) as db:
            db.execute("CREATE TABLE other (x)")
            db.execute(f"CREATE INDEX {name} ON other (x)")
        db.close()
        async with SQLiteBackend(str(path), indexes=["ticket.owner"]) as storage:
            await storage.set_many({f"ticket:{n}": {"owner": "o1" if n % 2 else "o2"} for n in range(9)})
            page = await storage.find("ticket", {"owner": "o1"}, limit=3)
            assert [key for key, _ in page.items] == ["ticket:1", "ticket:3", "ticket:5"]

    @pytest.mark.parametrize("address", ["postgres"], indirect=True)
    async def test_on_postgres(self, address: Address) -> None:
        async with address.open(indexes=["ticket.owner"]) as storage:
            await storage.set("ticket:1", {"owner": "o1"})
        db = await asyncpg.connect(address.url)
        try:
            [row] = await db.fetch("SELECT indexname FROM pg_indexes WHERE indexname LIKE '%ticket_owner%'")
            await db.execute(f"DROP INDEX {row[0]}; CREATE TABLE other (x int); CREATE INDEX {row[0]} ON other (x)")
        finally:
            await db.close()
        async with address.open(indexes=["ticket.owner"]) as storage:
            await storage.set("ticket:2", {"owner": "o1"})
            page = await storage.find("ticket", {"owner": "o1"}, limit=3)
            assert [key for key, _ in page.items] == ["ticket:1", "ticket:2"]
