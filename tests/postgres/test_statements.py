"""Each statement by itself: what it finds, what it leaves, and how long entries live afterwards."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import timedelta

import asyncpg
import pytest

from ad_seller.storage import KEEP
from ad_seller.storage.driver.commit import Commit, Delete, Expect, Put, Refused, Touch
from ad_seller.storage.driver.engine import NO_EXPIRY
from ad_seller.storage.postgres.statements import CREATE_COMMIT_FUNCTION, READ, READ_ONE, REMAINING, SWEEP, TABLE
from ad_seller.storage.postgres_backend import PostgresBackend
from tests.engines import engine_of
from tests.postgres.support import sql

MOMENT = "timestamptz '2100-01-01'"


@pytest.fixture
async def storage(postgres_url: str) -> AsyncIterator[PostgresBackend]:
    async with PostgresBackend(postgres_url, sweep_interval=None) as storage:
        yield storage


async def expire(url: str, *keys: str) -> None:
    """Let entries be expired, the first one for the longest time."""
    for age, key in enumerate(reversed(keys), start=1):
        statement = f"UPDATE {TABLE} SET expires_at = clock_timestamp() - $2::int * interval '1 s' WHERE key = $1"
        await sql(url, statement, key, age)


async def test_reads(storage: PostgresBackend, postgres_url: str) -> None:
    await storage.set_many({"a": 1, "b": 2, "c": 3, "gone": 4})
    await expire(postgres_url, "gone")
    assert await storage.get_many(["c", "a", "x", "gone"]) == {"c": 3, "a": 1}
    assert [await storage.get(key) for key in ("a", "b", "x", "gone")] == [1, 2, None, None]


@pytest.mark.parametrize("keys", [["a"], ["a", "b"]])
async def test_writes_replace_the_value_and_the_expiry(storage: PostgresBackend, keys: list[str]) -> None:
    await storage.set("other", 0)
    for value, ttl in ((1, 100), (2, None), (3, 50), (4, 2_000)):
        await storage.set_many(dict.fromkeys(keys, value), ttl=ttl)
        assert await storage.get_many([*keys, "other"]) == dict.fromkeys(keys, value) | {"other": 0}
        for left in [await storage.ttl(key) for key in keys]:
            assert left is None if ttl is None or left is None else ttl - 20 < left <= ttl
        assert await storage.ttl("other") is None


async def rows_around(url: str) -> None:
    """Store entries that end at `MOMENT`, and shortly after it."""
    for key, micros in (("at", 0), ("after", 1), ("later", 1001), ("much later", 10_000_000)):
        await sql(url, f"INSERT INTO {TABLE} VALUES ($1, '1', {MOMENT} + $2::int * interval '1 us')", key, micros)


async def test_the_instant_of_expiry(storage: PostgresBackend, postgres_url: str) -> None:
    """The server's clock cannot be set, but the statements can be given a moment in its place."""
    await rows_around(postgres_url)
    await storage.set("never", 1)
    keys = ["at", "after", "later", "much later", "never", "none"]
    read, read_one, remaining, sweep = (
        statement.replace("clock_timestamp()", MOMENT).replace("statement_timestamp()", MOMENT)
        for statement in (READ, READ_ONE, REMAINING, SWEEP)
    )
    assert {row["key"] for row in await sql(postgres_url, read, keys)} == set(keys[1:5])
    assert [await sql(postgres_url, read_one, key) for key in ("at", "after")] == [[], [("1",)]]
    left = {"after": 1, "later": 2, "much later": 10_000, "never": NO_EXPIRY}
    assert dict(await sql(postgres_url, remaining, keys)) == left
    assert len(await sql(postgres_url, sweep, 10)) == 1
    assert await stored(postgres_url) == sorted(left)


async def test_commits_at_the_instant_of_expiry(new_database: str) -> None:
    async with PostgresBackend(new_database, sweep_interval=None) as storage:
        await sql(new_database, CREATE_COMMIT_FUNCTION.replace("clock_timestamp()", MOMENT))
        for write, applies in ((Touch("at", 5), False), (Touch("after", 5), True)):
            await sql(new_database, f"TRUNCATE {TABLE}")
            await rows_around(new_database)
            assert await (await engine_of(storage)).apply([Commit((), (write,))]) == [[applies]]
        for key, applies in (("at", False), ("much later", True)):
            assert await (await engine_of(storage)).apply([Commit((), (Delete(key),))]) == [[applies]]
        await sql(new_database, f"TRUNCATE {TABLE}")
        await rows_around(new_database)
        gone, there = Commit((Expect("at", None),), ()), Commit((Expect("after", None),), ())
        assert await (await engine_of(storage)).apply([gone, there]) == [[], Refused("after")]
        kept = [Commit((), (Put(key, b"2", KEEP),)) for key in ("at", "later")]
        assert await (await engine_of(storage)).apply(kept) == [[True], [True]]
        expiries = await sql(new_database, f"SELECT key, expires_at - {MOMENT} FROM {TABLE} WHERE value = '2'")
        assert dict(expiries) == {"at": None, "later": timedelta(microseconds=1001)}


async def test_the_sweep_begins_with_what_expired_first(storage: PostgresBackend, postgres_url: str) -> None:
    await storage.set_many(dict.fromkeys(["z", "b", "y", "a", "held", "stays"], 1))
    await storage.set("later", 1, ttl=100)
    await expire(postgres_url, "z", "b", "y", "a", "held")
    other = await asyncpg.connect(postgres_url)
    transaction = other.transaction()
    await transaction.start()
    await other.execute(f"SELECT FROM {TABLE} WHERE key = 'held' FOR UPDATE")
    assert await (await engine_of(storage)).sweep(2) == 2
    assert await stored(postgres_url) == ["a", "held", "later", "stays", "y"]
    assert await (await engine_of(storage)).sweep(10) == 2
    assert await (await engine_of(storage)).sweep(10) == 0
    await transaction.rollback()
    await other.close()
    assert await (await engine_of(storage)).sweep(10) == 1
    assert await stored(postgres_url) == ["later", "stays"]


async def stored(url: str) -> list[str]:
    """Return the keys of all rows."""
    return [str(key) for (key,) in await sql(url, f"SELECT key FROM {TABLE} ORDER BY key")]


async def test_listings_of_a_part(storage: PostgresBackend, postgres_url: str) -> None:
    keys = ["a", "deal", "deal:", "deal:1", "deal:2", "deal:3", "deal;", "z"]
    await storage.set_many({key: key for key in reversed(keys)})
    await storage.set_many({"deal:0": 0, "deal:9": 0, "one": 0})
    await expire(postgres_url, "deal:0", "deal:9", "one")
    assert await storage.keys() == keys
    assert await storage.keys("deal:*") == keys[2:6]
    assert await storage.keys("deal") == ["deal"]
    assert await storage.keys("one") == []
    assert await storage.count("deal:*") == 4
    shown: list[str] = []
    cursor = None
    for _ in range(4):
        page = await storage.scan("deal:*", limit=1, cursor=cursor)
        shown += [key for key, _ in page.items]
        cursor = page.cursor
    assert (shown, cursor) == (keys[2:6], None)
    page = await storage.scan("deal", limit=1)
    assert page.items == [("deal", "deal")]
    assert (await storage.scan("deal", cursor=(await storage.scan(limit=2)).cursor)).items == []
    assert (await storage.scan("deal*", cursor=(await storage.scan("deal*", limit=2)).cursor)).items == [
        (key, key) for key in keys[3:7]
    ]


async def test_commits_that_touch_and_delete(storage: PostgresBackend, postgres_url: str) -> None:
    await storage.set_many(dict.fromkeys(["a", "b", "c", "gone"], 1))
    await expire(postgres_url, "gone")
    assert [await storage.expire(key, 2_000) for key in ("a", "x", "gone")] == [True, False, False]
    assert [await storage.delete(key) for key in ("b", "x", "gone")] == [True, False, False]
    assert await storage.compare_and_set("c", 1, 2, ttl=2_000)
    assert not await storage.compare_and_set("c", 1, 3)
    assert not await storage.compare_and_set("gone", 1, 3)
    assert await storage.create("new", 5, ttl=2_000)
    assert await storage.get_many(["a", "b", "c", "gone", "new"]) == {"a": 1, "c": 2, "new": 5}
    for key in ("a", "c", "new"):
        assert 1_980 < (await storage.ttl(key) or 0) <= 2_000
    assert await stored(postgres_url) == ["a", "c", "gone", "new"]
