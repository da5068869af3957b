"""Looking makes nothing: without ``create`` neither a file nor a table comes to be, by whatever way it is said."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from pathlib import Path

import pytest

from ad_seller.storage import MissingStoreError, StorageBackend, get_storage_backend, open_url
from ad_seller.storage.hybrid_backend import HybridBackend
from ad_seller.storage.memory_backend import MemoryBackend
from ad_seller.storage.postgres_backend import PostgresBackend
from ad_seller.storage.sqlite_backend import SQLiteBackend
from tests.cli.support import run
from tests.postgres.support import run_sql, sql

OBJECTS = """
    SELECT relname::text FROM pg_class WHERE relnamespace = 'public'::regnamespace
    UNION ALL SELECT proname::text FROM pg_proc WHERE pronamespace = 'public'::regnamespace"""
OLDER = "CREATE TABLE kv_store (key TEXT PRIMARY KEY, value JSONB NOT NULL, expires_at DOUBLE PRECISION)"
READING = (
    ["get", "a"],
    ["exists", "a"],
    ["ttl", "a"],
    ["keys"],
    ["list", "orders"],
    ["count"],
    ["repair"],
    ["delete", "a"],
)


@pytest.fixture(autouse=True)
def _no_settings(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[None]:
    for name in ("STORAGE_TYPE", "DATABASE_URL", "REDIS_URL"):
        monkeypatch.delenv(name, raising=False)
    with monkeypatch.context() as patch:
        patch.chdir(tmp_path)
        yield


async def refused(storage: StorageBackend, text: str) -> None:
    with pytest.raises(MissingStoreError, match=text):
        await storage.connect()
    await storage.disconnect()


async def test_sqlite_makes_no_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "folder" / "a.db"
    await refused(SQLiteBackend(f"sqlite:///{path}", create=False), "no file")
    await refused(open_url(f"sqlite:///{path}?create=off"), "no file")
    await refused(open_url(str(path), create=False), "no file")
    monkeypatch.setenv("STORAGE_CREATE", "off")
    await refused(get_storage_backend(), "no file")
    assert list(tmp_path.iterdir()) == []
    async with SQLiteBackend("sqlite:///:memory:", create=False) as storage:
        await storage.set("a", 1)  # there is nothing to be looked for


async def test_sqlite_makes_no_table_in_a_file_of_others(tmp_path: Path) -> None:
    path = tmp_path / "others.db"
    with sqlite3.connect(path) as db:
        db.execute("CREATE TABLE theirs (id)")
    db.close()
    before = path.read_bytes()
    await refused(SQLiteBackend(f"sqlite:///{path}", create=False), "no table kv_store")
    assert path.read_bytes() == before
    assert [one.name for one in tmp_path.iterdir()] == ["others.db"]


async def test_what_is_there_is_opened(tmp_path: Path, new_database: str) -> None:
    for url in (f"sqlite:///{tmp_path}/a.db", new_database):
        async with open_url(url) as storage:
            await storage.set("a", 1)
        async with open_url(url, create=False) as storage:
            await storage.set("a", 2)
            assert await storage.get("a") == 2


async def test_postgres_makes_nothing(new_database: str) -> None:
    await refused(PostgresBackend(new_database, create=False), "no table of an agent")
    await refused(open_url(f"{new_database}?create=off"), "no table of an agent")
    hybrid = HybridBackend(open_url(new_database, create=False), MemoryBackend())
    await refused(hybrid, "no table of an agent")
    assert await sql(new_database, OBJECTS) == []
    await sql(new_database, OLDER)
    await refused(PostgresBackend(new_database, create=False), "kv_store of an older agent")
    assert {name for (name,) in await sql(new_database, OBJECTS)} == {"kv_store", "kv_store_pkey"}


def test_commands_that_look_make_nothing(new_database: str, tmp_path: Path) -> None:
    for url in (new_database, f"sqlite:///{tmp_path}/a.db"):
        for command in READING:
            done = run("--url", url, *command)
            assert (done.returncode, done.stdout) == (1, ""), command
            assert "Traceback" not in done.stderr
            assert "hint: `ad-seller-storage set` makes a new store" in done.stderr
    assert run_sql(new_database, OBJECTS) == []
    assert list(tmp_path.iterdir()) == []
