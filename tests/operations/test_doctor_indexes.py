"""What the doctor says of indexes under our names, and what it makes of them."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from ad_seller.storage.operations import examine, fixes
from ad_seller.storage.postgres_backend import PostgresBackend
from ad_seller.storage.records.indexes import Index
from ad_seller.storage.sqlite_backend import SQLiteBackend
from tests.operations.test_doctor import said
from tests.postgres.support import postgres_engine_of, sql


def change(path: Path, *statements: str) -> None:
    with closing(sqlite3.connect(path)) as db, db:
        for statement in statements:
            db.execute(statement)


async def test_indexes_of_sqlite(tmp_path: Path) -> None:
    path = tmp_path / "store.db"
    async with SQLiteBackend(str(path)) as store:
        assert "filter-walks" not in said(await examine(store, data=False))
    wrong = "CREATE INDEX kv_store_expiry ON kv_store (key)"
    change(path, "DROP INDEX kv_store_order_status", "DROP INDEX kv_store_expiry", wrong)
    async with SQLiteBackend(str(path), create=False, sweep_interval=None) as store:  # as the command does
        report = await examine(store, data=False)
        names = f"kv_store_expiry ({wrong}), kv_store_order_status"
        assert said(report)["filter-walks"].endswith(f" of something else: {names}")
        [step] = [step async for step in fixes(store, report)]
        assert step.what.startswith("Build kv_store_expiry, kv_store_order_status in SQLiteBackend(")
        assert step.what.endswith(f", while writers wait, in place of what has the name and is dropped: {wrong}")
        change(path, "CREATE VIEW kv_store_order_status AS SELECT 1")
        told = "not built, because something else has the name: kv_store_order_status. Rename that, then run"
        assert (await step.apply()).startswith(told)
        change(path, "DROP VIEW kv_store_order_status")
        assert await step.apply() == "built"
        assert "filter-walks" not in said(await examine(store, data=False))
        assert [step async for step in fixes(store, report)] == []


async def test_an_index_of_namespaces_is_judged_where_it_is_there(tmp_path: Path) -> None:
    """It is made when a namespace is first searched, so that it is missing is no fault."""
    path, index = tmp_path / "store.db", Index("event", "session_id")
    async with SQLiteBackend(str(path), indexes=[index]) as store:
        [name] = [name for name in store._fields.of_namespaces["event"] if "odd" not in name]
    change(path, f"CREATE INDEX {name} ON kv_store (key)")
    async with SQLiteBackend(str(path), indexes=[index], create=False) as store:
        report = await examine(store, data=False)
        assert said(report)["filter-walks"].endswith(f": {name} (CREATE INDEX {name} ON kv_store (key))")
        assert [await step.apply() async for step in fixes(store, report)] == ["built"]
        assert "filter-walks" not in said(await examine(store, data=False))


async def test_a_constraint_of_postgres_with_the_name_of_an_index(new_database: str) -> None:
    """Its index cannot be dropped alone; the others are built, and when it is renamed so is this one."""
    name = "ad_seller_kv_order_status"
    async with PostgresBackend(new_database):
        pass
    await sql(new_database, f"DROP INDEX {name}, ad_seller_kv_expiry")
    await sql(new_database, f"ALTER TABLE ad_seller_kv ADD CONSTRAINT {name} UNIQUE (key, value)")
    async with PostgresBackend(new_database, create=False, sweep_interval=None) as store:
        report = await examine(store, data=False)
        assert said(report)["index-name-taken"] == f"A constraint has the name of an index of ours: {name}"
        [step] = [step async for step in fixes(store, report)]
        assert step.what.startswith("Build ad_seller_kv_expiry in ")
        assert step.what.endswith(", beside the work")
        assert await step.apply() == "built"
        report = await examine(store, data=False)
        assert {"filter-walks", "index-name-taken"} <= said(report).keys()
        assert [step async for step in fixes(store, report)] == []
        await sql(new_database, f"ALTER TABLE ad_seller_kv RENAME CONSTRAINT {name} TO theirs")
        report = await examine(store, data=False)
        assert [await step.apply() async for step in fixes(store, report)] == ["built"]
        assert not {"filter-walks", "index-name-taken"} & said(await examine(store, data=False)).keys()


async def test_what_nobody_declares_any_more_is_shown_before_it_is_dropped(new_database: str) -> None:
    index = Index("event", "session_id")
    async with PostgresBackend(new_database, indexes=[index]):
        pass
    [[old, definition]] = await sql(
        new_database,
        "SELECT indexname, indexdef FROM pg_indexes WHERE indexdef LIKE '%ad_seller_kv %session_id%'",
    )
    await sql(new_database, "DROP INDEX ad_seller_kv_expiry")
    others = [Index("event", "flow_id")]
    async with PostgresBackend(new_database, indexes=others, create=False, sweep_interval=None) as store:
        report = await examine(store, data=False)
        [step] = [step async for step in fixes(store, report)]
        assert step.what.startswith("Build ad_seller_kv_expiry, ad_seller_kv_")
        assert step.what.endswith(f", beside the work; and drop what nobody declares any more: {definition}")
        assert await step.apply() == "built"
        assert old not in {name for [name] in await sql(new_database, "SELECT indexname FROM pg_indexes")}


async def test_an_agent_leaves_a_constraint_and_says_so(
    new_database: str, caplog: pytest.LogCaptureFixture
) -> None:
    name = "ad_seller_kv_expiry"  # looked for at the first connect
    async with PostgresBackend(new_database):
        pass
    await sql(new_database, f"DROP INDEX {name}")
    await sql(new_database, f"ALTER TABLE ad_seller_kv ADD CONSTRAINT {name} UNIQUE (key, expires_at)")
    async with PostgresBackend(new_database) as store:
        building = (await postgres_engine_of(store))._indexes._building
        if building is not None:
            await building
        told = [record.getMessage() for record in caplog.records if name in record.getMessage()]
        assert [text.partition(": the name")[0] for text in told] == [
            f"PostgreSQL: the index {name} cannot be made"
        ]
