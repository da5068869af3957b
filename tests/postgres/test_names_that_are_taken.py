"""Something else has a name that our tables, functions or indexes need: it is worked round, or named and left."""

from __future__ import annotations

import asyncio
import json

import pytest

from ad_seller.storage import StorageError, StoreUnavailableError
from ad_seller.storage.postgres.schema import UNIQUE_KEY
from ad_seller.storage.postgres.statements import COMMIT_FUNCTION, COMMIT_SIGNATURE, TABLE
from ad_seller.storage.postgres.takeover import SCHEMA_TABLE
from ad_seller.storage.postgres_backend import PostgresBackend
from tests.cli.support import run
from tests.postgres.support import sql
from tests.postgres.test_partly_there import works

OBJECTS = """
    SELECT relname FROM pg_class WHERE relname LIKE 'ad_seller%'
    UNION SELECT proname FROM pg_proc WHERE proname LIKE 'ad_seller%'"""


@pytest.mark.parametrize(
    ("theirs", "named"),
    [
        (
            f"CREATE TABLE {TABLE} (id int, note text)",
            rf"columns public.{TABLE} \(it lacks expires_at .*, key text, value text\)",
        ),
        (f"CREATE TABLE {TABLE} (key text, value jsonb, expires_at timestamptz)", r"\(it lacks value text\)"),
        (
            f"CREATE TABLE {TABLE} (key varchar(200) PRIMARY KEY, value varchar NOT NULL, expires_at timestamptz)",
            rf"table with other columns public.{TABLE} \(it lacks key text, value text\)",
        ),
        (f"CREATE VIEW {TABLE} AS SELECT 1 AS one", f"the view public.{TABLE}"),
        (f"CREATE SEQUENCE {TABLE}", f"the sequence public.{TABLE}"),
        (f"CREATE TYPE {TABLE} AS ENUM ('a')", f"the type public.{TABLE}"),
        (
            f"CREATE TABLE {SCHEMA_TABLE} (id int)",
            rf"columns public.{SCHEMA_TABLE} \(it lacks name text, value text\)",
        ),
        (
            f"CREATE MATERIALIZED VIEW {SCHEMA_TABLE} AS SELECT 1 AS one",
            f"the materialized view public.{SCHEMA_TABLE}",
        ),
        (f"CREATE SEQUENCE {SCHEMA_TABLE}", f"the sequence public.{SCHEMA_TABLE}"),
        (f"CREATE DOMAIN {SCHEMA_TABLE} AS int", f"the type public.{SCHEMA_TABLE}"),
        (
            f"CREATE FUNCTION {COMMIT_SIGNATURE} RETURNS int LANGUAGE sql AS 'SELECT 1'",
            f"the function with other results public.{COMMIT_FUNCTION}",
        ),
    ],
)
async def test_what_is_in_the_way_is_named_and_left(new_database: str, theirs: str, named: str) -> None:
    await sql(new_database, theirs)
    before = await sql(new_database, OBJECTS)
    with pytest.raises(StoreUnavailableError, match=rf"{named}, not made by us.*schema=agent in the URL"):
        await PostgresBackend(new_database).connect()
    with pytest.raises(StorageError):  # who only looks, as `doctor` does, sees none of ours, or is told the same
        await PostgresBackend(new_database, create=False).connect()
    assert await sql(new_database, OBJECTS) == before
    await sql(new_database, "CREATE SCHEMA agent")
    await works(f"{new_database}?schema=agent")


@pytest.mark.parametrize("theirs", ["TABLE {} (x int)", "SEQUENCE {}", "INDEX {} ON other (x)"])
@pytest.mark.parametrize("when", ["before", "after"])
async def test_names_of_indexes_are_worked_round(
    new_database: str, caplog: pytest.LogCaptureFixture, when: str, theirs: str
) -> None:
    """After a restore without indexes each connect said that the key was made anew, and each write was refused."""
    await sql(new_database, "CREATE TABLE other (x int)")
    tables = (TABLE, SCHEMA_TABLE)
    if when == "after":
        async with PostgresBackend(new_database):
            pass
        for table in tables:
            await sql(new_database, f"ALTER TABLE {table} DROP CONSTRAINT {table}_pkey")
    for table in tables:
        await sql(new_database, "CREATE " + theirs.format(f"{table}_pkey"))
    for _ in range(2):
        async with PostgresBackend(new_database) as storage:
            await storage.set("a", 1)
    assert caplog.text.count(f"{UNIQUE_KEY} was missing though recorded") == (when == "after")


@pytest.mark.parametrize(
    "on", ["INDEX {} ON {} (key)", "UNIQUE INDEX {} ON {} (value)", "UNIQUE INDEX {} ON {} (key text_pattern_ops)"]
)
async def test_our_table_has_another_index_under_the_name_of_the_key(new_database: str, on: str) -> None:
    async with PostgresBackend(new_database):
        pass
    await sql(new_database, f"ALTER TABLE {TABLE} DROP CONSTRAINT {TABLE}_pkey")
    await sql(new_database, "CREATE " + on.format(f"{TABLE}_pkey", TABLE))
    async with PostgresBackend(new_database) as storage:
        await storage.set("a", 1)
    rows = await sql(new_database, f"SELECT indexdef FROM pg_indexes WHERE tablename = '{TABLE}'")
    assert [1 for (each,) in rows if each.startswith("CREATE UNIQUE") and each.endswith(" (key)")] == [1]


async def test_a_function_of_our_name_with_other_arguments_is_not_ours(new_database: str) -> None:
    async with PostgresBackend(new_database):
        pass
    await sql(new_database, f"DROP FUNCTION {COMMIT_FUNCTION}")
    await sql(new_database, f"CREATE FUNCTION {COMMIT_FUNCTION}(x int) RETURNS int LANGUAGE sql AS 'SELECT 1'")
    await works(new_database)


async def test_doctor_names_a_table_with_other_columns(new_database: str) -> None:
    """It said that indexes were missing, and offered to build them."""
    await sql(new_database, f"CREATE TABLE {TABLE} (key varchar(200), value varchar, expires_at timestamptz)")
    done = await asyncio.to_thread(run, "doctor", "--url", new_database, "--fix", "--json", timeout=60)
    told = json.loads(done.stdout)
    [found] = [each for each in told["findings"] if each["severity"] != "note"]
    assert (done.returncode, found["rule"], told["fixed"]) == (3, "store-refused", [])
    assert "(it lacks key text, value text)" in found["what"]
    assert "rename or drop it" in found["what"]
