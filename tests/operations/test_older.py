"""Stores of older agents as a source: read in place, followed while the agent writes, and left as they are."""

from __future__ import annotations

import sqlite3
import time
from contextlib import closing
from pathlib import Path

import asyncpg
import pytest

from ad_seller.storage import MissingStoreError, NamespacedBackend, NotEmptyError
from ad_seller.storage.hybrid_backend import HybridBackend
from ad_seller.storage.memory_backend import MemoryBackend
from ad_seller.storage.operations import (
    copy_entries,
    estimate,
    export_entries,
    import_entries,
    older_form,
    opened_as_it_is,
    verify,
)
from ad_seller.storage.postgres_backend import PostgresBackend
from ad_seller.storage.redis_backend import RedisBackend
from ad_seller.storage.sqlite_backend import SQLiteBackend
from tests.cli.support import run
from tests.postgres.support import sql

OLDER_TABLE = "CREATE TABLE kv_store (key TEXT PRIMARY KEY, value JSONB NOT NULL, expires_at DOUBLE PRECISION)"
KV_STORE = f"""
    {OLDER_TABLE};
    INSERT INTO kv_store
    SELECT 'deal:' || n, jsonb_build_object('n', n, 'cpm', 1.50), NULL FROM generate_series(1, 4500) n;
    INSERT INTO kv_store SELECT 'Deal:' || n, '[]', NULL FROM generate_series(1, 20) n;
    INSERT INTO kv_store VALUES ('', '1', NULL), ('gone', '1', 1000);
    INSERT INTO kv_store VALUES ('odd:1', '1', 'NaN'), ('odd:2', '1', 1e18);"""
TWO_ROWS = """
    INSERT INTO kv_store VALUES ('deal:1', '{"n": 1}', NULL), ('deal:2', '2', NULL), ('gone', '1', 1000)"""


async def test_the_table_of_postgresql(new_database: str, tmp_path: Path) -> None:
    older = await asyncpg.connect(new_database)
    with pytest.raises(MissingStoreError):
        async with PostgresBackend(new_database, create=False):
            raise AssertionError
    await older.execute(KV_STORE)
    await older.execute("INSERT INTO kv_store VALUES ('quote:1', '{\"a\": 1}', $1)", time.time() + 500)
    await older.execute("ANALYZE kv_store")
    backend = older_form(PostgresBackend(new_database))
    assert backend is not None
    assert "OlderPostgres(" in repr(backend)
    async with backend, MemoryBackend() as target:
        done = await copy_entries(backend, target)
        assert (done.stored, done.verified.faults) == (4_523, 0)
        assert await target.get("deal:7") == {"n": 7, "cpm": 1.5}
        assert 400 < (await target.ttl("quote:1") or 0) <= 501
        assert [await target.ttl(f"odd:{n}") for n in (1, 2)] == [None, None]
        assert await estimate(backend) == 4_525
        pages = [entry async for page in backend._entry_pages("") for entry in page]
        assert await backend._entries_at(["absent", *(entry.key for entry in pages)]) == pages

        await older.execute(
            "UPDATE kv_store SET value = '2', expires_at = $1 WHERE key = 'quote:1'", time.time() + 900
        )
        await older.execute("DELETE FROM kv_store WHERE key LIKE 'deal:1%'")
        again = await copy_entries(backend, target, again=True)
        assert (again.stored, again.verified.faults) == (1, 0)
        assert (await target.ttl("quote:1") or 0) > 800
        assert (await verify(backend, target, prefix="Deal:1")).compared == 11
    tables = await older.fetch("SELECT relname FROM pg_class WHERE relname LIKE 'ad_seller%'")
    assert tables == []
    await older.close()
    done_by_command = run("copy", new_database, f"{tmp_path}/b.db", "--checkpoint", f"{tmp_path}/copy.json")
    assert done_by_command.returncode == 0, done_by_command.stderr


async def tables(url: str) -> list[str]:
    rows = await sql(url, "SELECT relname::text FROM pg_class WHERE relkind = 'r' AND relname LIKE 'ad_seller%'")
    return [name for (name,) in rows]


async def test_the_table_of_postgresql_is_exported_and_verified(new_database: str, tmp_path: Path) -> None:
    await sql(new_database, OLDER_TABLE)
    await sql(new_database, TWO_ROWS)
    file, other = f"{tmp_path}/all.jsonl", f"{tmp_path}/other.db"
    exported = run("--url", new_database, "export", file)
    assert exported.returncode == 0, exported.stderr
    imported = run("--url", other, "import", file)
    assert (imported.returncode, imported.stderr.splitlines()[-1].split(",")[0]) == (0, "2 stored"), imported.stderr
    for pair in ((new_database, other), (other, new_database)):
        verified = run("verify", *pair)
        assert verified.returncode == 0
        assert verified.stderr.endswith("\n2 entries compared, 0 differ.\n")
    assert await tables(new_database) == []


async def test_into_a_database_with_the_table_of_an_older_agent(new_database: str, tmp_path: Path) -> None:
    """It has entries, so it is not empty; that is said before anything is set up."""
    await sql(new_database, OLDER_TABLE)
    await sql(new_database, TWO_ROWS)
    async with SQLiteBackend(f"{tmp_path}/source.db") as source:
        await source.set("deal:3", 3)
        await export_entries(source, tmp_path / "all.jsonl")
        with pytest.raises(NotEmptyError, match="there is 'deal:1'"):
            await copy_entries(source, PostgresBackend(new_database), connect=True)
        with pytest.raises(NotEmptyError, match="there is 'deal:1'"):
            await import_entries(PostgresBackend(new_database), tmp_path / "all.jsonl", connect=True)
    assert await tables(new_database) == []
    into = ("copy", f"{tmp_path}/source.db", new_database, "--checkpoint", f"{tmp_path}/copy.json")
    looked = run(*into, "--dry-run")
    assert (looked.returncode, looked.stdout) == (
        4,
        "only in TO\tdeal:1\nonly in TO\tdeal:2\nmissing in TO\tdeal:3\n",
    )
    assert await tables(new_database) == []
    copied = run(*into, "--keep")
    assert copied.returncode == 0, copied.stderr
    async with PostgresBackend(new_database) as target:
        assert await target.keys() == ["deal:1", "deal:2", "deal:3"]
    older = older_form(PostgresBackend(new_database))
    assert older is not None
    with pytest.raises(MissingStoreError, match="kv_store was taken over: read that"):
        await older.connect()
    async with PostgresBackend(new_database) as target:
        await target.delete_many(["deal:1", "deal:2", "deal:3"])
    once_more = run(*into, "--checkpoint", f"{tmp_path}/once_more.json")
    assert once_more.returncode == 0, once_more.stderr


async def test_the_table_behind_a_hybrid(
    new_database: str, redis_url: str, redis_prefix: str, tmp_path: Path
) -> None:
    """What the older hybrid kept in Redis is read there, all else in the table; nothing is set up."""
    await sql(new_database, OLDER_TABLE)
    await sql(new_database, TWO_ROWS)
    redis = RedisBackend(redis_url, key_prefix=redis_prefix)
    async with redis:
        await redis.set("session:1", {"a": 1}, ttl=500)
    hybrid = HybridBackend(PostgresBackend(new_database), redis)
    async with opened_as_it_is(hybrid) as source, SQLiteBackend(f"{tmp_path}/target.db") as target:
        done = await copy_entries(source, target)
        assert (done.stored, done.verified.faults) == (3, 0)
        assert await target.keys() == ["deal:1", "deal:2", "session:1"]
        assert (await export_entries(source, tmp_path / "all.jsonl")).count == 3
        with pytest.raises(NotEmptyError, match="there is 'deal:1'"):
            await copy_entries(target, hybrid, connect=True)
    assert await tables(new_database) == []


async def test_who_only_looks_makes_nothing(
    new_database: str, redis_url: str, redis_prefix: str, tmp_path: Path
) -> None:
    """Whatever the backend would do that was passed, a dry run and what is opened as it is leave no trace."""
    file = tmp_path / "none.db"
    there = PostgresBackend(new_database)
    nowhere = (
        SQLiteBackend(str(file)),
        there,
        HybridBackend(there, RedisBackend(redis_url, key_prefix=redis_prefix)),
        NamespacedBackend(there, "acme"),
    )
    async with MemoryBackend() as source:
        await source.set("deal:1", 1)
        for target in nowhere:
            with pytest.raises(MissingStoreError):
                async with opened_as_it_is(target):
                    raise AssertionError
            looked = await copy_entries(source, target, dry_run=True, connect=True)
            assert looked.verified.counts == {"missing": 1}
            assert not file.exists()
            assert await tables(new_database) == []
        await sql(new_database, OLDER_TABLE)
        await sql(new_database, TWO_ROWS)
        looked = await copy_entries(source, there, dry_run=True, connect=True)
        assert looked.verified.counts == {"more": 1, "value": 1}
        assert await tables(new_database) == []


async def test_a_database_without_any_table(new_database: str) -> None:
    backend = older_form(PostgresBackend(new_database))
    assert backend is not None
    with pytest.raises(MissingStoreError, match="older or newer"):
        await backend.connect()
    assert older_form(MemoryBackend()) is None


async def test_the_file_of_an_older_agent(tmp_path: Path) -> None:
    with closing(sqlite3.connect(tmp_path / "older.db")) as db, db:
        db.execute("CREATE TABLE kv_store (key TEXT PRIMARY KEY, value TEXT NOT NULL, expires_at REAL)")
        db.executemany(
            "INSERT INTO kv_store VALUES (?, ?, ?)",
            [("deal:1", '{"a": 1}', None), ("quote:1", "2", time.time() + 300), ("gone", "3", 1000.0)],
        )
    async with SQLiteBackend(f"{tmp_path}/older.db") as source, MemoryBackend() as target:
        assert (await copy_entries(source, target)).verified.faults == 0
        with closing(sqlite3.connect(tmp_path / "older.db")) as db, db:  # the agent goes on
            db.execute("INSERT OR REPLACE INTO kv_store (key, value) VALUES ('deal:1', '{}')")
        assert (await copy_entries(source, target, again=True)).stored == 1
        assert await target.get_many(["deal:1", "quote:1", "gone"]) == {"deal:1": {}, "quote:1": 2}


async def test_what_no_server_holds_does_not_end_a_copy(
    tmp_path: Path, new_database: str, redis_url: str, redis_prefix: str
) -> None:
    """A time beyond all that servers know is never; a text with NUL is refused by PostgreSQL, and named."""
    with closing(sqlite3.connect(tmp_path / "older.db")) as db, db:
        db.execute("CREATE TABLE kv_store (key TEXT PRIMARY KEY, value TEXT NOT NULL, expires_at REAL)")
        rows = [(f"deal:{n}", "1", seconds) for n, seconds in enumerate((3e14, 1e18, 1e300, float("inf")))]
        db.executemany("INSERT INTO kv_store VALUES (?, ?, ?)", [*rows, ("nul", "a\0b", None)])
    async with SQLiteBackend(f"{tmp_path}/older.db") as source:
        for target in (PostgresBackend(new_database), RedisBackend(redis_url, key_prefix=redis_prefix)):
            refused: list[str] = []
            async with target:
                done = await copy_entries(source, target, on_refused=lambda key, _: refused.append(key))  # noqa: B023
                assert [await target.ttl(f"deal:{n}") for n in range(4)] == [None] * 4
                assert await target.count("deal:*") == 4
            assert refused == (["nul"] if isinstance(target, PostgresBackend) else [])
            assert done.verified.faults == len(refused)
