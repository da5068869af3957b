"""Tasks of an older agent that go on writing after the take-over."""

from __future__ import annotations

import asyncio
import json

import pytest

from ad_seller.storage.postgres.takeover import OLD_TABLE, TakeOver
from ad_seller.storage.postgres_backend import PostgresBackend
from tests.postgres.support import sql

WARNING = "tasks of the older agent have written"


async def older_writes(url: str, **entries: object) -> None:
    await sql(
        url,
        f"CREATE TABLE IF NOT EXISTS {OLD_TABLE} "
        "(key TEXT PRIMARY KEY, value JSONB NOT NULL, expires_at DOUBLE PRECISION)",
    )
    for key, value in entries.items():
        await sql(
            url,
            f"INSERT INTO {OLD_TABLE} VALUES ($1, $2::jsonb, NULL) "
            "ON CONFLICT (key) DO UPDATE SET value = excluded.value",
            key,
            json.dumps(value),
        )


async def test_the_newer_one_wins_and_nothing_of_ours_is_overwritten(
    new_database: str, caplog: pytest.LogCaptureFixture
) -> None:
    await older_writes(new_database, theirs=1, ours=1, both=1, neither=1, deleted=1)
    async with PostgresBackend(new_database) as storage:
        await storage.set_many({"ours": 2, "both": 2, "mine": 2})
        await storage.delete("deleted")
    async with PostgresBackend(new_database) as storage:
        assert await storage.take_over(apply=False) == TakeOver()
    assert WARNING not in caplog.text

    await older_writes(new_database, theirs=3, both=3, new=3)
    async with PostgresBackend(new_database) as storage:
        assert f"{WARNING} 3 entries of kv_store" in caplog.text
        expected = TakeOver(["new", "theirs"], ["both"])
        assert await storage.take_over(apply=False) == expected
        assert await storage.get_many(["theirs", "both", "new"]) == {"theirs": 1, "both": 2}
        assert await storage.take_over() == expected
        everything = {"theirs": 3, "ours": 2, "both": 2, "neither": 1, "mine": 2, "new": 3}
        assert await storage.get_many([*everything, "deleted"]) == everything
        assert "ours stay: both" in caplog.text
        assert await storage.take_over() == TakeOver()

        await older_writes(new_database, ours=4, new=4)
        assert await storage.take_over() == TakeOver(["new", "ours"])
        assert await storage.get_many(["ours", "new", "both"]) == {"ours": 4, "new": 4, "both": 2}


async def test_writes_that_come_while_ours_run_are_told(
    new_database: str, caplog: pytest.LogCaptureFixture
) -> None:
    await older_writes(new_database, a=1)
    async with PostgresBackend(new_database) as storage:
        await storage._sweep_all()
        assert WARNING not in caplog.text
        await older_writes(new_database, a=2, b=2)
        async with asyncio.timeout(30):  # the server counts when the writer has gone
            while WARNING not in caplog.text:
                await storage._sweep_all()
        assert f"{WARNING} 2 entries of kv_store" in caplog.text


async def test_many_entries(new_database: str) -> None:
    await older_writes(new_database, first=0)
    async with PostgresBackend(new_database) as storage:
        await sql(
            new_database, f"INSERT INTO {OLD_TABLE} SELECT 'k:' || n, to_jsonb(n) FROM generate_series(1, 5000) n"
        )
        assert len((await storage.take_over()).taken) == 5000
        assert await storage.count("k:*") == 5000


async def test_without_an_older_table(postgres_url: str) -> None:
    async with PostgresBackend(postgres_url) as storage:
        assert await storage.take_over() == TakeOver()
