"""There are the indexes that are declared, and no others: they are made and dropped when a file is opened."""

from __future__ import annotations

import logging
from pathlib import Path

import pytest

from ad_seller.storage import DEFAULT_INDEXES, Index
from ad_seller.storage.sqlite.fields import UNASKED, FieldIndexes, name_of
from ad_seller.storage.sqlite_backend import SQLiteBackend

from .support import execute

EVENTS = [Index("event", "session_id"), Index("event", "payload.kind")]
DEFAULTS = set(FieldIndexes(None).statements)


def names(path: Path) -> set[str]:
    rows = execute(path, "SELECT name FROM sqlite_master WHERE type = 'index' AND sql IS NOT NULL")
    return {name for (name,) in rows} - {"kv_store_expiry"}


def as_an_earlier_version_leaves_it(path: Path) -> None:
    for name in UNASKED:
        execute(
            path, f"CREATE INDEX IF NOT EXISTS {name} ON kv_store (json_extract(value, '$.status')) WHERE key > 'q'"
        )


async def test_those_of_quotes_go_at_the_first_open_which_the_log_says_once(
    path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "ad_seller.storage")
    async with SQLiteBackend(str(path)) as storage:
        assert names(path) == DEFAULTS
        as_an_earlier_version_leaves_it(path)  # while ours is open, too
        await storage.set_quote("1", {"status": "open"})
        assert await storage.list_quotes({"status": "open"}) == [{"status": "open"}]
    for _ in range(2):
        async with SQLiteBackend(str(path)) as storage:
            assert names(path) == DEFAULTS
            assert await storage.list_quotes({"status": "open"}) == [{"status": "open"}]
    assert caplog.text.count("dropped indexes that nobody declares") == 1
    assert all(name in caplog.text for name in UNASKED)


async def test_what_is_declared_is_made_of_what_is_there_and_replaces_the_rest(path: Path) -> None:
    async with SQLiteBackend(str(path)) as storage:
        await storage.set_many({f"event:{n}": {"session_id": f"s{n % 10}", "n": n} for n in range(100)})
    async with SQLiteBackend(str(path), indexes=EVENTS) as storage:
        assert names(path) == set(FieldIndexes(EVENTS).statements)
        assert {name_of(index) for index in EVENTS} < names(path)
    async with SQLiteBackend(str(path), indexes=["event.session_id", "default"]) as storage:
        assert names(path) == set(FieldIndexes([EVENTS[0], *DEFAULT_INDEXES]).statements)
    async with SQLiteBackend(str(path), indexes=()) as storage:
        assert names(path) == set()


async def test_thirty_of_them(path: Path) -> None:
    many = [Index("event", f"f{n}") for n in range(30)]
    values = ["open", {"a": 1}, ["open"], "x" * 20_000, 7, None, True]
    async with SQLiteBackend(str(path), indexes=many) as storage:
        records = {f"event:{n}": {f"f{f}": values[(n + f) % 7] for f in range(30)} for n in range(20)}
        await storage.set_many(records)
        for field in (0, 29):
            for value in values:
                if value is not None:
                    found = dict((await storage.find("event", {f"f{field}": value})).items)
                    assert found == {key: one for key, one in records.items() if one[f"f{field}"] == value}


async def test_who_declares_none_or_makes_nothing_leaves_those_of_others(path: Path) -> None:
    async with SQLiteBackend(str(path), indexes=EVENTS) as declaring:
        declared = names(path)
        async with SQLiteBackend(str(path), create=False):
            assert names(path) == declared
        async with SQLiteBackend(str(path)) as other:
            assert names(path) == declared | DEFAULTS
            await other.set("event:1", {"session_id": "s1"})
        async with SQLiteBackend(str(path), indexes=()):  # it drops them under the one that has them in use
            assert names(path) == set()
        await declaring.set("event:2", {"session_id": "s1"})
        assert await declaring.keys("event:*") == ["event:1", "event:2"]


@pytest.mark.parametrize(
    "theirs", ["CREATE TABLE {} (x)", "CREATE VIEW {} AS SELECT 1", "CREATE INDEX {} ON other (x)"]
)
async def test_a_name_that_somebody_else_has_taken_is_told_and_left_to_him(
    path: Path, caplog: pytest.LogCaptureFixture, theirs: str
) -> None:
    execute(path, "CREATE TABLE other (x)")
    taken = sorted([name_of(EVENTS[0]), "kv_store_order_status"])
    for name in taken:
        execute(path, theirs.format(name))
    before = execute(path, "SELECT type, name FROM sqlite_master ORDER BY name")
    for _ in range(2):  # a new table, and one that is there
        async with SQLiteBackend(str(path), indexes=[EVENTS[0], *DEFAULT_INDEXES]) as storage:
            await storage.set("event:1", {"session_id": "s1"})
            assert [key for key, _ in (await storage.find("event", {"session_id": "s1"})).items] == ["event:1"]
            assert await storage.list_orders({"status": "open"}, limit=1) == []
    assert set(before) <= set(execute(path, "SELECT type, name FROM sqlite_master"))
    said = [record.args for record in caplog.records if "the name is taken" in record.msg]
    kind = theirs.split()[1].lower()
    assert said == 2 * [(str(path), name, kind) for name in taken]


@pytest.mark.parametrize(
    ("name", "other"),
    [
        ("kv_store_expiry", "CREATE INDEX kv_store_expiry ON kv_store (key)"),
        (
            "kv_store_expiry",
            "CREATE UNIQUE INDEX kv_store_expiry ON kv_store (expires_at) WHERE expires_at IS NOT NULL",
        ),
        ("kv_store_expiry", "create index KV_Store_Expiry on kv_store (size)"),
        ("kv_store_order_status", "CREATE INDEX kv_store_order_status ON kv_store (value)"),
        ("kv_store_order_status", "CREATE INDEX KV_STORE_order_status ON kv_store (value)"),
    ],
)
async def test_an_index_of_our_name_over_something_else(path: Path, name: str, other: str) -> None:
    """That of the expiry was taken for ours: the sweep read the whole table, a unique one refused entries."""
    async with SQLiteBackend(str(path)):
        pass
    [ours] = execute(path, f"SELECT sql FROM sqlite_master WHERE name = '{name}'")
    execute(path, f"DROP INDEX {name}")
    execute(path, other)
    async with SQLiteBackend(str(path), create=False) as storage:
        assert await storage.list_orders({"status": "open"}, limit=1) == []
    async with SQLiteBackend(str(path)) as storage:
        assert execute(path, f"SELECT sql FROM sqlite_master WHERE lower(name) = '{name}'") == [ours]
        await storage.set_many({"a": 1, "b": 2}, ttl=60)
