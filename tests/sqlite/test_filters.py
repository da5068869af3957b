"""Filtered listings by indexes find what a filter over all records finds, and no write fails because of them."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from ad_seller.storage import CorruptValueError, Index, OrderFilters
from ad_seller.storage.seller.kinds import FIELDS
from ad_seller.storage.sqlite.fields import FieldIndexes, name_of
from ad_seller.storage.sqlite_backend import SQLiteBackend
from tests.odd_records import EVERY_FIELD, check_filters, listed

from .support import counted, execute, make_older_file, older_set, plain, reader_of

#: The statements of the indexes that there are without a declaration, by name.
DEFAULTS = FieldIndexes(None).statements
EVERY = FieldIndexes(EVERY_FIELD).statements

#: Texts that are no JSON, or not JSON for every version of SQLite.
BROKEN = ["", "{", "nonsense", '{"status": NaN}', '{"status": "open"} {}', "[" * 5000 + "]" * 5000]


@pytest.fixture
async def storage(path: Path) -> AsyncIterator[SQLiteBackend]:
    async with SQLiteBackend(str(path), synchronous="NORMAL", indexes=EVERY_FIELD) as storage:
        yield storage


@pytest.mark.parametrize("entity", FIELDS)
@pytest.mark.parametrize("seed", range(5))
async def test_the_same_as_a_filter_over_all_records(storage: SQLiteBackend, entity: str, seed: int) -> None:
    await check_filters(storage, entity, seed)


@pytest.mark.parametrize("text", [*BROKEN, b"\xff{}", b"{}", 7])
async def test_what_is_no_json_is_stored_and_reported(storage: SQLiteBackend, path: Path, text: Any) -> None:
    await storage.set_order("1", {"status": "open"})
    execute(path, "INSERT OR REPLACE INTO kv_store (key, value) VALUES ('order:2', ?)", text)
    seen: list[CorruptValueError] = []
    everything = await storage.list_orders(on_corrupt=seen.append)
    corrupt = len(seen)
    assert await listed(storage, "order", {"status": "open"}, on_corrupt=seen.append) == everything[:1]
    assert [str(error.key) for error in seen] == ["order:2"] * 2 * corrupt


#: Texts that SQLite reads in another way than Python: its functions find another status, or none.
ODD = [
    '{"status": "closed", "status": "open"}',
    '{"st\\u0061tus": "open"}',
    '{"status": "closed", "\\u0073tatus": "open"}',
    '{"n": {"status": "open"}, "status": "closed", "status": "open"}',
]

#: Texts that are JSON for SQLite and damaged all the same; their status is another one than is asked for.
DAMAGED = [
    b'{"status": "closed", "n": "\xff"}',
    "{'status': 'closed', 'n': 'Käse'}".replace("'", '"').encode("latin-1"),
    "{'status': 'closed', 'n': '5 £'}".replace("'", '"').encode("latin-1"),
    b'{"status": "closed"}\0',
    b'{"status": "closed", "n": 1e999}',
    b'{"status": "closed", "n": -1E+999}',
]


@pytest.mark.parametrize("ours_before", [False, True])
@pytest.mark.parametrize("text", ODD)
async def test_what_sqlite_reads_differently_is_found(
    text: str, ours_before: bool, storage: SQLiteBackend, path: Path
) -> None:
    await storage.set_order("1", {"status": "open"})
    if ours_before:
        await storage.set_order("2", {"status": "closed", "n": 5})
    execute(path, "INSERT OR REPLACE INTO kv_store (key, value) VALUES ('order:2', ?)", text)
    assert len(await storage.list_orders({"status": "open"})) == 2
    assert await storage.list_orders({"status": "closed"}) == []


@pytest.mark.parametrize("text", ODD)
async def test_so_is_what_an_update_puts_in_place_of_ours(text: str, storage: SQLiteBackend, path: Path) -> None:
    await storage.set_order("2", {"status": "closed"})
    execute(path, "UPDATE kv_store SET value = ? WHERE key = 'order:2'", text)
    assert len(await storage.list_orders({"status": "open"})) == 1
    await storage.set_order("2", {"status": "closed"})
    assert await storage.list_orders({"status": "open"}) == []


@pytest.mark.parametrize("text", DAMAGED)
async def test_damaged_records_are_reported_whatever_their_status(
    text: bytes, storage: SQLiteBackend, path: Path
) -> None:
    await storage.set_order("1", {"status": "open"})
    statement = "INSERT OR REPLACE INTO kv_store (key, value) VALUES ('order:2', CAST(? AS TEXT))"
    execute(path, statement, text)
    every: list[OrderFilters | None] = [None, {"status": "open"}]
    for filters in every:
        with pytest.raises(CorruptValueError, match="order:2"):
            await storage.list_orders(filters)
    seen: list[CorruptValueError] = []
    assert await storage.list_orders({"status": "open"}, on_corrupt=seen.append) == [{"status": "open"}]
    assert [error.key for error in seen] == ["order:2"]


async def test_what_versions_of_sqlite_read_differently_is_in_no_index(storage: SQLiteBackend, path: Path) -> None:
    """3.40 and 3.51 file a NUL differently; the other one called the file malformed at the next write."""
    await storage.set_order("1", {"status": "o\0p"})
    field = DEFAULTS["kv_store_order_status"].partition("(")[2].rpartition(") WHERE")[0]
    assert execute(path, f"SELECT {field} FROM kv_store WHERE key = 'order:1'") == [(b"\0",)]
    assert await storage.list_orders({"status": "o\0p"}) == [{"status": "o\0p"}]
    assert await storage.list_orders({"status": "o"}) == []


async def test_an_index_that_an_earlier_version_defined_is_made_anew(path: Path) -> None:
    async with SQLiteBackend(str(path)) as storage:
        await storage.set_order("1", {"status": "open"})
    with plain(path) as db:
        db.execute("DROP INDEX kv_store_order_status")
        db.execute("CREATE INDEX kv_store_order_status ON kv_store (json_extract(value, '$.status'))")
    async with SQLiteBackend(str(path)) as storage:
        assert await storage.list_orders({"status": "open"}) == [{"status": "open"}]
    [(sql,)] = execute(path, "SELECT sql FROM sqlite_master WHERE name = 'kv_store_order_status'")
    assert sql.partition(" ON ")[2] == DEFAULTS["kv_store_order_status"].partition(" ON ")[2]


async def test_what_we_write_is_never_looked_at_for_another_status(storage: SQLiteBackend, path: Path) -> None:
    """Escapes, nested names and characters beyond ASCII: the index of odd texts stays empty."""
    record = {
        "status": "closed",
        "log": [{"status": "open"}, {"status": "x"}],
        "n": "\x01 5 £ \u00e9 \0",
        "f": 1e300,
    }
    await storage.set_many({f"order:{n}": record for n in range(20)})
    await storage.update_order("1", lambda order: order | {"m": 1})
    where = DEFAULTS["kv_store_order_odd"].partition(" WHERE ")[2]
    assert execute(path, f"SELECT key FROM kv_store WHERE {where}") == []


async def test_deleted_changed_and_expired_records_are_not_found(path: Path) -> None:
    now = 1_000.0
    async with SQLiteBackend(str(path), clock=lambda: now) as storage:
        for number in range(4):
            await storage.set_quote(str(number), {"status": "open", "n": number}, ttl=60 if number == 1 else None)
        await storage.delete_quote("0")
        await storage.update_quote("2", lambda quote: quote | {"status": "closed"})
        now += 60
        assert [quote["n"] for quote in await storage.list_quotes({"status": "open"})] == [3]


async def test_the_work_grows_with_what_matches(storage: SQLiteBackend) -> None:
    """Counted in steps of SQLite's virtual machine, which no other load on the machine changes."""
    await storage.set_many({f"order:{n:06}": {"status": "open"} for n in range(50)})
    few = await steps(storage)
    await storage.set_many({f"order:{n:06}": {"status": "done"} for n in range(50, 20_000)})
    assert 10 < await steps(storage) < 1.1 * few + 20


async def steps(storage: SQLiteBackend) -> int:
    taken, found = await counted(storage, lambda: storage.list_orders({"status": "open"}))
    assert len(found) == 50
    return taken


@pytest.mark.parametrize("index", EVERY_FIELD, ids=str)
async def test_each_filter_uses_its_index(storage: SQLiteBackend, path: Path, index: Index) -> None:
    statements: list[str] = []
    reader = await reader_of(storage)
    await reader.set_trace_callback(statements.append)
    await getattr(storage, f"list_{index.kind}s")({index.path[-1]: "it's"})
    await reader.set_trace_callback(lambda _: None)
    asked = [statement for statement in statements if "kv_store" in statement]
    assert len(asked) == 2, "how many there are, and which"
    for statement in asked:
        plan = " / ".join(row[3] for row in execute(path, f"EXPLAIN QUERY PLAN {statement}"))
        assert f"SEARCH kv_store USING INDEX {name_of(index)} (<expr>=?" in plan, plan


async def test_an_older_file_gets_the_indexes_and_older_agents_go_on(path: Path) -> None:
    make_older_file(path)
    older_set(path, "order:1", {"status": "open"})
    async with SQLiteBackend(str(path)) as storage:
        assert await storage.list_orders({"status": "open"}) == [{"status": "open"}]
        older_set(path, "order:1", {"status": "closed"})
        older_set(path, "order:2", {"status": "open", "n": 2})
        assert await storage.list_orders({"status": "open"}) == [{"status": "open", "n": 2}]
    names = {name for (name,) in execute(path, "SELECT name FROM sqlite_master WHERE type = 'index'")}
    assert names >= DEFAULTS.keys()
    assert execute(path, "PRAGMA integrity_check") == [("ok",)]


async def test_without_the_indexes_it_only_takes_longer(storage: SQLiteBackend, path: Path) -> None:
    await storage.set_order("1", {"status": "open"})
    with plain(path) as db:
        for name in EVERY:
            db.execute(f"DROP INDEX {name}")
    assert await storage.list_orders({"status": "open"}) == [{"status": "open"}]
