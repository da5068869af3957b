"""The file of an older seller agent is taken over in place, and that agent can work with what is written here."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from ad_seller.storage import StoreUnavailableError
from ad_seller.storage.sqlite_backend import SQLiteBackend

from .support import OLDER_SCHEMA, execute, is_intact, make_older_file, older_get, older_set, plain

VALUES = {
    "product:display": {"name": "Display ÄÖÜ €", "price": 1.0, "tags": ["a", None, True], "nested": {"": {}}},
    "session_index:buyer:acme": ["s-1", "s-2"],
    "agent_url_index:https://buyer.example/a?b=%c": "agent-1",
    "counter": 2**70,
    "text": 'quotes " and \\ and \n and \u2028 and \U0001f600',
    "empty": {},
}


async def test_everything_is_taken_over(path: Path) -> None:
    make_older_file(path)
    for key, value in VALUES.items():
        older_set(path, key, value)
    older_set(path, "quote:fresh", {"status": "available"}, time.time() + 60)
    older_set(path, "quote:stale", {"status": "available"}, time.time() - 1)
    async with SQLiteBackend(str(path)) as store:
        assert await store.keys() == sorted([*VALUES, "quote:fresh"])
        assert dict((await store.scan()).items) == {**VALUES, "quote:fresh": {"status": "available"}}
        left = await store.ttl("quote:fresh")
        assert left is not None
        assert 50 < left <= 60
        assert await store.ttl("counter") is None
        assert await store.get("quote:stale") is None
        assert await store.increment("counter") == 2**70 + 1
    assert is_intact(path)


async def test_the_older_agent_reads_and_writes_on(path: Path) -> None:
    make_older_file(path)
    async with SQLiteBackend(str(path)) as store:
        await store.set_many(VALUES)
        before = time.time()
        await store.set("quote:1", {"status": "new"}, ttl=60)
        await store.set("gone", 1, ttl=0.01)
        assert {key: older_get(path, key) for key in VALUES} == VALUES
        [(expires_at, kind)] = execute(
            path, "SELECT expires_at, typeof(expires_at) FROM kv_store WHERE key = 'quote:1'"
        )
        assert kind == "real"
        assert before + 60 <= expires_at <= time.time() + 60
        older_set(path, "product:display", {"price": 2})
        older_set(path, "deal:1", [1.5])
        assert await store.get_many(["product:display", "deal:1"]) == {
            "product:display": {"price": 2},
            "deal:1": [1.5],
        }
        execute(path, "DELETE FROM kv_store WHERE expires_at IS NOT NULL AND expires_at < ?", time.time() + 1)
        assert await store.get("quote:1") == {"status": "new"}
        assert execute(path, "SELECT key FROM kv_store WHERE key = 'gone'") == []
        execute(path, "DELETE FROM kv_store WHERE key = ?", "deal:1")
        assert not await store.exists("deal:1")
    # and after a roll-back, with us gone
    assert {row[0] for row in execute(path, "SELECT key FROM kv_store WHERE key LIKE ?", "%")} == {
        *VALUES,
        "quote:1",
    }
    older_set(path, "deal:2", 1)
    assert is_intact(path)


@pytest.mark.parametrize("key", ["counter", "value"])
async def test_values_written_by_json_dumps_can_be_compared_and_updated(path: Path, key: str) -> None:
    """The older agent's text has spaces that ours has not: atomic operations must not stumble over that."""
    make_older_file(path)
    older_set(path, "counter", 5)
    older_set(path, "value", {"a": [1, 2], "ö": "ü"}, time.time() + 60)
    async with SQLiteBackend(str(path)) as store:
        if key == "counter":
            assert await store.increment(key) == 6
            assert await store.compare_and_set(key, 6, 7)
        else:
            assert await store.compare_and_set(key, {"ö": "ü", "a": [1, 2]}, {"b": 1})
            assert await store.ttl(key) is not None
            await store.update(key, lambda current: {**current, "c": 2})
            assert await store.get_and_delete(key) == {"b": 1, "c": 2}


async def test_more_columns_indexes_and_tables_do_not_matter(path: Path) -> None:
    with plain(path) as db:
        db.executescript(OLDER_SCHEMA)
        db.execute("ALTER TABLE kv_store ADD COLUMN tenant TEXT NOT NULL DEFAULT 'x'")
        db.execute("CREATE TABLE kv_store_audit (key TEXT)")
        db.execute("INSERT INTO kv_store (key, value, tenant) VALUES ('old', '1', 'acme')")
    async with SQLiteBackend(str(path)) as store:
        await store.set("old", 2)
        await store.set("new", 3)
        assert await store.scan() == ([("new", 3), ("old", 2)], None)
    assert execute(path, "SELECT tenant FROM kv_store ORDER BY key") == [("x",), ("acme",)]


OTHER_FORMS = {
    "other columns": "CREATE TABLE kv_store (k TEXT PRIMARY KEY, v TEXT)",
    "no expiry": "CREATE TABLE kv_store (key TEXT PRIMARY KEY, value TEXT NOT NULL)",
    "no primary key": "CREATE TABLE kv_store (key TEXT, value TEXT NOT NULL, expires_at REAL)",
    "one more column that must be given": (
        "CREATE TABLE kv_store (key TEXT PRIMARY KEY, value TEXT NOT NULL, expires_at REAL, tenant TEXT NOT NULL)"
    ),
    "a view": "CREATE TABLE t (key, value, expires_at); CREATE VIEW kv_store AS SELECT * FROM t",
    "UTF-16": "PRAGMA encoding = 'UTF-16'; CREATE TABLE kv_store (key TEXT PRIMARY KEY, value TEXT)",
}


@pytest.mark.parametrize("name", OTHER_FORMS)
async def test_a_table_of_another_form_is_refused(name: str, path: Path) -> None:
    with plain(path) as db:
        db.executescript(OTHER_FORMS[name])
    schema = execute(path, "SELECT type, name, sql FROM sqlite_master")
    store = SQLiteBackend(str(path))
    with pytest.raises(StoreUnavailableError) as caught:
        await store.connect()
    assert str(path) in str(caught.value)
    assert "kv_store" in str(caught.value) or name in str(caught.value)
    assert execute(path, "SELECT type, name, sql FROM sqlite_master") == schema
