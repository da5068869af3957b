"""A search in a namespace costs what it finds there, however much its neighbours have."""

from __future__ import annotations

import asyncio
import logging
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from ad_seller.storage import Index, NamespacedBackend, StorageBackend
from ad_seller.storage.driver.query import KeyQuery
from ad_seller.storage.postgres_backend import PostgresBackend
from ad_seller.storage.records.filters import Condition
from ad_seller.storage.records.globs import prefix_glob
from ad_seller.storage.seller.kinds import FIELDS
from ad_seller.storage.sqlite.fields import FieldIndexes
from ad_seller.storage.sqlite_backend import SQLiteBackend
from tests.odd_records import EVERY_FIELD, check_filters
from tests.postgres.support import sql
from tests.sqlite.support import execute

NAMES = "SELECT name FROM sqlite_master WHERE name LIKE 'kv_store_ix_ns_%'"

VALID = """SELECT 1 FROM pg_index JOIN pg_class ON pg_class.oid = indexrelid
    WHERE indisvalid AND relname LIKE 'ad_seller_kv_ix_ns_order_status_%'"""


async def fill(whole: StorageBackend) -> None:
    """Two publishers, of whose orders few are open, and one whose orders all are."""
    for name, opened in (("a", 5), ("b", 7), ("c", 3000)):
        async with NamespacedBackend(whole, name) as storage:
            orders = {
                f"order:{n:04}": {"status": "open" if n < opened else "closed", "of": name} for n in range(3000)
            }
            await storage.set_many(orders)


def searches_of(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [message for message in caplog.messages if message.startswith("Find ")]


async def test_sqlite_makes_them_when_a_namespace_is_searched(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG, "ad_seller.storage")
    path = tmp_path / "store.db"
    whole = SQLiteBackend(str(path), synchronous="NORMAL")
    async with whole, NamespacedBackend(whole, "a") as storage:
        await fill(whole)
        assert execute(path, NAMES) == []
        found = await storage.list_orders({"status": "open"})
        assert [order["of"] for order in found] == ["a"] * 5
        assert len(execute(path, NAMES)) == 2
        async with NamespacedBackend(whole, "b") as other:
            assert len((await other.find("order:0", {"status": "open"}, limit=100)).items) == 7
            assert len(await other.list_orders({"status": "closed"}, limit=10)) == 10
    assert all("by the index kv_store_ix_ns_order_status_" in one for one in searches_of(caplog))
    async with SQLiteBackend(str(path)):
        assert len(execute(path, NAMES)) == 2, "who declares none keeps them"
    async with SQLiteBackend(str(path), indexes=[Index("event", "n")]):
        assert execute(path, NAMES) == [], "nobody declares them any more"


async def test_sqlite_reads_no_more_of_the_index_than_what_is_of_the_namespace(tmp_path: Path) -> None:
    path = tmp_path / "store.db"
    whole = SQLiteBackend(str(path), synchronous="NORMAL")
    async with whole, NamespacedBackend(whole, "a") as storage:
        await fill(whole)
        await storage.list_orders({"status": "open"})
    where = (Condition(("status",), "open"),)
    [narrowing] = FieldIndexes(None).narrowed(KeyQuery(prefix_glob("ns:a:order:"), where=where))
    with closing(sqlite3.connect(path)) as db:
        plan = [row[3] for row in db.execute(f"EXPLAIN QUERY PLAN {narrowing.candidates}", narrowing.parameters)]
        searches = [line for line in plan if "kv_store" in line]
        both = "(<expr>=? AND <expr>=?)"  # the namespace, and the field
        for line, columns in zip(searches, [both, both, "(<expr>=?)"], strict=True):
            assert "INDEX kv_store_ix_ns_order_" in line, plan
            assert line.startswith("SEARCH"), plan
            assert line.endswith(columns), plan
        assert len(db.execute(narrowing.candidates, narrowing.parameters).fetchall()) == 5


@pytest.mark.parametrize("entity", FIELDS)
async def test_the_same_as_a_filter_over_all_records(entity: str, tmp_path: Path) -> None:
    path = tmp_path / "store.db"
    whole = SQLiteBackend(str(path), synchronous="NORMAL", indexes=EVERY_FIELD)
    names = ("a", "a:b", entity)  # the name of a kind: it stands twice in the keys of its records
    async with whole:
        for seed, name in enumerate(names):
            async with NamespacedBackend(whole, name) as storage:
                await check_filters(storage, entity, seed)
        await check_filters(whole, entity, 3)


async def test_postgres_builds_them_beside_the_work(new_database: str, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG, "ad_seller.storage")
    whole = PostgresBackend(new_database)
    async with whole, NamespacedBackend(whole, "a") as storage:
        await fill(whole)
        found = await storage.list_orders({"status": "open"})
        assert [order["of"] for order in found] == ["a"] * 5
        for _ in range(3000):
            if await sql(new_database, VALID):
                break
            await asyncio.sleep(0.02)
    async with whole, NamespacedBackend(whole, "a") as storage:
        await sql(new_database, "ANALYZE")
        assert len(await storage.list_orders({"status": "open"})) == 5
    assert "by the index ad_seller_kv_ix_ns_order_status_" in searches_of(caplog)[-1]


@pytest.mark.parametrize("entity", FIELDS)
async def test_postgres_finds_the_same(entity: str, new_database: str) -> None:
    whole = PostgresBackend(new_database, indexes=EVERY_FIELD)
    async with whole, NamespacedBackend(whole, "a") as storage, NamespacedBackend(whole, "a:b") as other:
        await storage.find(entity, {"status": "open", "order_id": "1", "product.product_id": "1", "buyer_id": "1"})
        await check_filters(storage, entity, 1)
        await check_filters(other, entity, 2)
        await check_filters(whole, entity, 3)
