"""A database that has only a part of what was set up: connect looks, and makes what is missing."""

from __future__ import annotations

import pytest

from ad_seller.storage import StoreUnavailableError
from ad_seller.storage.postgres.fields import FIELD_FUNCTION
from ad_seller.storage.postgres.statements import COMMIT_FUNCTION, TABLE
from ad_seller.storage.postgres.takeover import SCHEMA_TABLE
from ad_seller.storage.postgres_backend import PostgresBackend
from tests.postgres.support import sql
from tests.postgres.test_schema import older_agent


async def works(url: str) -> None:
    async with PostgresBackend(url) as storage:
        await storage.set("b", 2)
        assert await storage.increment("n") == 1
        assert await storage.create("c", 1)
        await storage.set_order("1", {"status": "draft"})
        assert await storage.list_orders({"status": "draft"}) == [{"status": "draft"}]


async def test_without_the_functions(new_database: str, caplog: pytest.LogCaptureFixture) -> None:
    async with PostgresBackend(new_database) as storage:
        await storage.set("a", 1)
    await sql(new_database, f"DROP FUNCTION {COMMIT_FUNCTION}")
    await sql(new_database, f"DROP FUNCTION {FIELD_FUNCTION} CASCADE")
    await works(new_database)
    assert "ad_seller_kv_commit was missing though recorded as set up" in caplog.text
    async with PostgresBackend(new_database) as storage:
        assert await storage.get("a") == 1


async def test_without_the_table(new_database: str, caplog: pytest.LogCaptureFixture) -> None:
    await older_agent(new_database, {"older": 1})
    async with PostgresBackend(new_database) as storage:
        assert await storage.get("older") == 1
    await sql(new_database, f"DROP TABLE {TABLE}")
    await works(new_database)
    assert "ad_seller_kv was missing though recorded as set up" in caplog.text
    async with PostgresBackend(new_database) as storage:
        assert await storage.get("older") == 1, "taken over again, as into a new database"


async def test_without_the_primary_key(new_database: str, caplog: pytest.LogCaptureFixture) -> None:
    """`pg_restore -t` makes tables without any index: every write was refused, and no connect mended it."""
    storage = PostgresBackend(new_database)
    async with storage:
        await storage.set("a", 1)
        for table in (TABLE, SCHEMA_TABLE):
            await sql(new_database, f"ALTER TABLE {table} DROP CONSTRAINT {table}_pkey")
        with pytest.raises(StoreUnavailableError, match="disconnect and connect, which sets up what is missing"):
            await storage.set("a", 1)
    await sql(new_database, f"INSERT INTO {TABLE} SELECT * FROM {TABLE}")
    with pytest.raises(StoreUnavailableError, match=r"several rows.*the whole dump into an empty database"):
        await storage.connect()
    await sql(new_database, f"DELETE FROM {TABLE} WHERE ctid = (SELECT min(ctid) FROM {TABLE})")
    await works(new_database)
    assert "the unique index of ad_seller_kv (key) was missing though recorded as set up" in caplog.text
    async with PostgresBackend(new_database) as storage:
        await storage.set("a", 2)
        assert await storage.keys("a") == ["a"]


@pytest.mark.parametrize(
    ("change", "lacks"),
    [
        (f"ALTER TABLE {TABLE} DROP COLUMN expires_at", "expires_at timestamp with time zone"),
        (f"ALTER TABLE {TABLE} ALTER COLUMN expires_at TYPE timestamp", "expires_at timestamp with time zone"),
        (f"ALTER TABLE {TABLE} RENAME COLUMN value TO text", "value text"),
        (f"ALTER TABLE {SCHEMA_TABLE} RENAME COLUMN name TO label", "name text"),
    ],
)
async def test_with_a_column_changed(new_database: str, change: str, lacks: str) -> None:
    """It was opened, and each call said that to connect again would help; times without a zone were any time."""
    async with PostgresBackend(new_database) as storage:
        await storage.set("a", 1)
    await sql(new_database, change)
    for create in (True, False):  # False: who only looks, as `doctor` does
        with pytest.raises(StoreUnavailableError, match=rf"it lacks {lacks}\).*change it back: ALTER TABLE"):
            await PostgresBackend(new_database, create=create).connect()


async def test_with_a_column_more(new_database: str) -> None:
    async with PostgresBackend(new_database) as storage:
        await storage.set("a", 1)
    await sql(new_database, f"ALTER TABLE {TABLE} ADD COLUMN note text")
    async with PostgresBackend(new_database) as storage:
        assert await storage.get("a") == 1


async def test_the_advice_of_the_error_helps(new_database: str) -> None:
    storage = PostgresBackend(new_database)
    await storage.connect()
    await sql(new_database, f"DROP TABLE {TABLE}")
    with pytest.raises(StoreUnavailableError, match="disconnect and connect, which sets up what is missing"):
        await storage.set("a", 1)
    await storage.disconnect()
    async with storage:
        await storage.set("a", 1)
