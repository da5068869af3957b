"""Views for SQL readers: what dashboards see, with a plain client, of good records and of any others."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from datetime import UTC, date, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import asyncpg
import pytest

from ad_seller.storage import (
    PREFIXES,
    InvalidArgumentError,
    NamespacedBackend,
    StorageBackend,
    StoreUnavailableError,
    UnsupportedError,
)
from ad_seller.storage.hybrid_backend import HybridBackend
from ad_seller.storage.memory_backend import MemoryBackend
from ad_seller.storage.operations import Column, View, create_views, drop_views, view_statements
from ad_seller.storage.postgres_backend import PostgresBackend
from ad_seller.storage.seller.views import ENTRIES, VIEWS
from ad_seller.storage.sqlite_backend import SQLiteBackend
from tests.docs_samples import ROOT

NAMES = [*(view.name for view in VIEWS), ENTRIES]
GOOD: dict[str, Any] = {
    "order:ORD-1": {
        "status": "böoked 😀",
        "deal_id": 7,
        "quote_id": "it's",
        "created_at": "2026-11-23T07:27:49.804967Z",
        "audit_log": {"transitions": [{"actor": "a"}, {"actor": "me", "timestamp": "2026-11-23T09:00:00+02:00"}]},
    },
    "deal:D-1": {
        "status": "proposed",
        "product": {"product_id": "p-1"},
        "pricing": {"final_cpm": 15.25, "currency": "USD"},
        "terms": {"impressions": 2_000_000, "flight_start": "2027-01-31"},
        "created_at": "2026-11-23T07:27:49",
    },
    "package:k": {"is_featured": True, "placements": [{}, {}], "base_price": 1},
}
#: What may stand where a record, or a field of one, should.
ODD: list[Any] = [
    None, True, 5, 1.5, "text", [], ["a"], {}, {"status": None}, {"status": ["x"]}, {"status": {"a": 1}},
    {"status": "a\0b", "created_at": "a\0b"}, {"created_at": "now"}, {"created_at": "infinity"},
    {"created_at": "2026-13-45T99:99"}, {"created_at": "2026-11-23 with words"}, {"created_at": 5},
    {"audit_log": []}, {"audit_log": {"transitions": {"-1": 1}}}, {"audit_log": {"transitions": []}},
    {"pricing": {"final_cpm": "15"}}, {"pricing": {"final_cpm": 10**400}}, {"pricing": {"final_cpm": 1e308}},
    {"impressions": -0.0}, {"terms": {"flight_start": "0000-00-00"}}, {"placements": {"a": 1}}, {"a": "\\u0000"},
    {"is_featured": "yes"}, {"status": "x" * 5_000}, {"status": "ö" * 5_000}, {"created_at": "294277-01-01"},
]  # fmt: skip
#: Texts that only others write.
RAW = [
    "", " ", "{", "nothing", "NaN", '{"status": NaN}', '{"a":1}{"b":2}', '{"status":"\\ud800"}', "\ufeff{}",
    '{"status":1e999}', '{"pricing":{"final_cpm":1e999}}', '{"pricing":{"final_cpm":-1e999999}}', "[" * 3_000,
    '{"status":"a","status":"b"}', '{"status":"\\u0000\\\\u0000"}', '{status:"x"}', '{"created_at":"\\udfff"}',
]  # fmt: skip


def odd_entries() -> dict[str, Any]:
    """Each odd thing as a record of each kind."""
    return {f"{prefix}odd-{number}": odd for prefix in PREFIXES.values() for number, odd in enumerate(ODD)}


def raw_entries() -> list[tuple[str, str]]:
    return [(f"{prefix}raw-{number}", text) for prefix in PREFIXES.values() for number, text in enumerate(RAW)]


async def fill(store: StorageBackend) -> None:
    await store.set_many(odd_entries())
    await store.set_many(GOOD)
    await store.set("order:soon", GOOD["order:ORD-1"], ttl=500)
    await store.set("order:gone", {"status": "x"}, ttl=0.001)
    await store.set_many({"orders": 1, "order;": 1, "note": 1})


async def test_sqlite(tmp_path: Path) -> None:
    path = tmp_path / "store.db"
    async with SQLiteBackend(f"sqlite:///{path}", sweep_interval=None) as store:
        await fill(store)
        assert await create_views(store) == NAMES
        with sqlite3.connect(path) as db:  # what others wrote, with keys and values that are no text
            db.executemany("INSERT INTO kv_store (key, value) VALUES (?, ?)", raw_entries())
            blobs = [(f"order:blob-{n}", blob) for n, blob in enumerate((b"", b"\xff", b"\x0c\x17ab"))]
            db.executemany("INSERT INTO kv_store (key, value) VALUES (?, ?)", blobs)
            for n, broken in enumerate((b"\x80", b"\xe6\x9d", b"\xed\xa0\x80", b"\xff", b"a\0\xff", b"\xf8\x88")):
                text = b'{"status": "' + broken + b'", "created_at": "' + broken + b'"}'
                key = b"order:broken-" + bytes(str(n), "ascii") + broken
                db.execute(
                    "INSERT INTO kv_store (key, value) VALUES (CAST(? AS TEXT), CAST(? AS TEXT))", (key, text)
                )
            db.execute("INSERT INTO kv_store VALUES (x'6f726465723aff', '{}', 'never', NULL)")
            db.execute("INSERT INTO kv_store VALUES ('order:odd-expiry', '{}', 'never', NULL)")
            db.execute("INSERT INTO kv_store VALUES ('order:endless', '{}', 9e999, NULL)")
        db.close()

        reader = sqlite3.connect(f"file:{path}?mode=ro", uri=True)
        reader.row_factory = sqlite3.Row
        found = {name: [dict(row) for row in reader.execute(f"SELECT * FROM {name}")] for name in NAMES}
        orders = {row["order_id"]: row for row in found["seller_orders"]}
        assert orders["ORD-1"] == {
            "order_id": "ORD-1", "status": "böoked 😀", "deal_id": "7", "quote_id": "it's",
            "created_at": "2026-11-23 07:27:49.805", "transitions": 2, "changed_at": "2026-11-23 07:00:00.000",
            "changed_by": "me", "expires_at": None, "readable": 1, "namespace": None,
        }  # fmt: skip
        assert "gone" not in orders
        assert orders["soon"]["expires_at"] > "2026"
        assert len(found["seller_orders"]) == 2 + len(ODD) + len(RAW) + 3 + 6 + 2
        [deal] = [row for row in found["seller_deals"] if row["deal_id"] == "D-1"]
        assert (deal["product_id"], deal["cpm"], deal["impressions"]) == ("p-1", 15.25, 2_000_000)
        assert (deal["flight_start"], deal["created_at"]) == ("2027-01-31", "2026-11-23 07:27:49.000")
        [package] = [row for row in found["seller_packages"] if row["package_id"] == "k"]
        assert (package["is_featured"], package["placements"], package["base_price"]) == (1, 2, 1)
        assert [row["status"] for row in found["seller_orders"] if row["order_id"] is None] == [None] * 5  # broken
        assert (orders[f"odd-{len(ODD) - 2}"]["status"], orders["raw-7"]["status"]) == ("ö" * 1_000, None)
        by_key = {row["key"]: row for row in found[ENTRIES]}
        assert (by_key["note"]["kind"], by_key["orders"]["kind"], by_key["deal:D-1"]["kind"]) == (
            None,
            None,
            "deal:",
        )
        assert [by_key[key]["readable"] for key in ("order:raw-1", "order:blob-1")] == [0, 0]
        assert reader.execute("SELECT count(*) FROM seller_orders WHERE status = 'proposed'").fetchone()[0] == 0
        reader.close()

        assert await create_views(store) == NAMES  # once more: they are made anew
        assert await drop_views(store) == NAMES
        assert await drop_views(store) == []


async def test_a_table_of_that_name_is_left_alone(tmp_path: Path, postgres_url: str) -> None:
    sqlite = SQLiteBackend(f"sqlite:///{tmp_path}/store.db")
    for store in (sqlite, PostgresBackend(postgres_url)):
        async with store:
            for foreign in ("CREATE TABLE seller_deals (a text)", "CREATE VIEW seller_deals AS SELECT 1 AS a"):
                await run(store, foreign)
                for call in (create_views, drop_views):
                    with pytest.raises(StoreUnavailableError, match=r"seller_deals.* Nothing was changed"):
                        await call(store)
                await run(store, f"DROP {foreign.split()[1]} seller_deals")
            assert await drop_views(store) == []  # nothing half done
            assert await create_views(store) == NAMES
            await drop_views(store)


async def run(store: StorageBackend, statement: str) -> None:
    """Run a statement as another program does."""
    if isinstance(store, SQLiteBackend):
        with sqlite3.connect(store.path) as db:
            db.execute(statement)
        db.close()
    else:
        assert isinstance(store, PostgresBackend)
        connection = await asyncpg.connect(store.database_url)
        await connection.execute(statement)
        await connection.close()


async def test_postgres(postgres_url: str) -> None:
    async with PostgresBackend(postgres_url, sweep_interval=None) as store:
        await fill(store)
        assert await create_views(HybridBackend(store, MemoryBackend())) == NAMES
        connection = await asyncpg.connect(postgres_url, server_settings={"timezone": "Asia/Tokyo"})
        await connection.executemany("INSERT INTO ad_seller_kv VALUES ($1, $2)", raw_entries())
        found = {name: [dict(row) for row in await connection.fetch(f"SELECT * FROM {name}")] for name in NAMES}
        orders = {row["order_id"]: row for row in found["seller_orders"]}
        assert orders["ORD-1"] == {
            "order_id": "ORD-1", "status": "böoked 😀", "deal_id": "7", "quote_id": "it's",
            "created_at": datetime(2026, 11, 23, 7, 27, 49, 804967, UTC), "transitions": 2,
            "changed_at": datetime(2026, 11, 23, 7, 0, tzinfo=UTC), "changed_by": "me", "expires_at": None,
            "readable": True, "namespace": None,
        }  # fmt: skip
        assert "gone" not in orders
        assert orders["soon"]["expires_at"] > datetime.now(UTC)
        assert len(orders) == 2 + len(ODD) + len(RAW)
        assert orders["odd-11"]["status"] == "a\ufffdb"
        assert orders["raw-14"]["status"] == "\ufffd\\u0000"
        [deal] = [row for row in found["seller_deals"] if row["deal_id"] == "D-1"]
        assert (deal["product_id"], deal["cpm"], deal["flight_start"]) == (
            "p-1",
            Decimal("15.25"),
            date(2027, 1, 31),
        )
        assert deal["created_at"] == datetime(2026, 11, 23, 7, 27, 49, tzinfo=UTC)  # no zone: UTC
        [package] = [row for row in found["seller_packages"] if row["package_id"] == "k"]
        assert (package["is_featured"], package["placements"]) == (True, 2)
        by_key = {row["key"]: row for row in found[ENTRIES]}
        assert (by_key["note"]["kind"], by_key["deal:D-1"]["kind"]) == (None, "deal:")
        assert not by_key["order:raw-1"]["readable"]

        await connection.execute("CREATE ROLE dashboard; GRANT SELECT ON seller_orders TO dashboard")
        assert await create_views(store) == NAMES  # once more: they are made anew, and grants stay
        assert await connection.fetchval("SELECT has_table_privilege('dashboard', 'seller_orders', 'SELECT')")
        await connection.execute("REVOKE ALL ON seller_orders FROM dashboard; DROP ROLE dashboard")
        await connection.close()
        assert await drop_views(store) == NAMES
        assert await drop_views(store) == []


async def test_views_of_ones_own_and_stores_without_sql(tmp_path: Path) -> None:
    with pytest.raises(UnsupportedError, match="SQLite and PostgreSQL"):
        view_statements(MemoryBackend())
    quoted = (View("notes", "it's; DROP TABLE kv_store --", "note_id", (Column("n", "number", (("a-b", "n"),)),)),)
    async with SQLiteBackend(f"sqlite:///{tmp_path}/store.db") as store:
        await store.set("it's; DROP TABLE kv_store --1", {"a-b": {"n": 5}})
        assert await create_views(store, quoted) == ["notes", ENTRIES]
        db = sqlite3.connect(store.path)
        assert db.execute("SELECT note_id, n FROM notes").fetchall() == [("1", 5)]
        db.close()
        for bad in (
            View("a b", "x", "id", ()),
            View("a", "x", "id", (Column('n"', "text", (("n",),)),)),
            View("a", "x", "id", (Column("n", "text", (("n'",),)),)),
            View("a", "x", "id", (Column("n", "text", ((0,),)),)),
            View("a", "x", "n", (Column("n", "text", (("n",),)),)),
            View(ENTRIES, "x", "id", ()),
        ):
            with pytest.raises(InvalidArgumentError):
                await create_views(store, (bad,))


async def test_records_of_all_namespaces_are_in_them(tmp_path: Path, postgres_url: str) -> None:
    sqlite = SQLiteBackend(f"sqlite:///{tmp_path}/store.db")
    whole = View("wholes", "", "whole_id", ())
    for store in (sqlite, PostgresBackend(postgres_url)):
        async with store, NamespacedBackend(store, "a:b") as one, NamespacedBackend(store, "order") as other:
            for status, where in (("none", store), ("one", one), ("other", other)):
                await where.set_order("1", {"status": status})
            await store.set_many({"ns:order": {}, "ns:order:order": {}, "ns:a:ns:b:order:1": {}})
            await one.set_deal("1", {})
            assert await create_views(other, (*VIEWS, whole)) == [*NAMES[:-1], "wholes", ENTRIES]
            orders = await rows(store, "SELECT namespace, order_id, status FROM seller_orders")
            assert orders == {(None, "1", "none"), ("a%3Ab", "1", "one"), ("order", "1", "other")}
            assert await rows(store, "SELECT namespace, kind FROM seller_entries WHERE bytes > 2") == {
                (None, "order:"), ("a%3Ab", "order:"), ("order", "order:"),
            }  # fmt: skip
            assert await rows(store, "SELECT kind FROM seller_entries WHERE namespace = 'a'") == {("ns:",)}
            assert await rows(store, "SELECT count(*), count(DISTINCT whole_id) FROM wholes") == {(7, 5)}
            await drop_views(store, (*VIEWS, whole))


async def rows(store: StorageBackend, query: str) -> set[tuple[Any, ...]]:
    """What another program finds."""
    if isinstance(store, SQLiteBackend):
        with closing(sqlite3.connect(store.path)) as db:
            return set(db.execute(query))
    assert isinstance(store, PostgresBackend)
    connection = await asyncpg.connect(store.database_url)
    try:
        return {tuple(row) for row in await connection.fetch(query)}
    finally:
        await connection.close()


def test_every_kind_has_a_view() -> None:
    assert {view.prefix for view in VIEWS} == set(PREFIXES.values())


def test_the_page_lists_every_column() -> None:
    page = (ROOT / "docs" / "dashboards.md").read_text()
    for view in VIEWS:
        columns = ", ".join(f"`{name}`" for name in (view.identity, *(column.name for column in view.columns)))
        assert f"| `{view.name}` | {columns} |\n" in page
