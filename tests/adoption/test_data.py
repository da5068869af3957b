"""`adopt` looks at a store: counts, values that cannot be read, keys that will not be found; nothing is changed."""

from __future__ import annotations

import asyncio
import hashlib
import json
import sqlite3
import time
from pathlib import Path
from typing import Any

import asyncpg
import redis

from tests.adoption.conftest import Adopt, as_json
from tests.postgres.support import run_sql


def census(adopt: Adopt, *options: str) -> dict[str, Any]:
    data: dict[str, Any] = as_json(adopt("--json", *options))["data"]
    return data


def older_file(path: Path) -> None:
    """Write a file as older agents do, with the troubles that are found in such files."""
    db = sqlite3.connect(path)
    db.execute("CREATE TABLE kv_store (key TEXT PRIMARY KEY, value TEXT NOT NULL, expires_at REAL)")
    rows: list[tuple[Any, str, float | None]] = [
        ("deal:1", '{"cpm": 12.5}', None),
        ("deal:2", '{"cpm": NaN}', None),
        ("quote:1", "{}", time.time() + 1000),
        ("quote:2", "{}", time.time() - 1000),
        ("api_key_list", "[]", None),
        ("x" * 3000, "1", None),
        (None, "1", None),
    ]
    db.executemany("INSERT INTO kv_store VALUES (?, ?, ?)", rows)
    db.commit()
    db.close()


def test_a_sqlite_file(agent: Path, adopt: Adopt, tmp_path: Path) -> None:
    path = tmp_path / "older.db"
    older_file(path)
    before = hashlib.sha256(path.read_bytes()).hexdigest()
    found = census(adopt, "--url", f"sqlite:///{path}")
    assert found["problem"] is None
    assert found["counts"] == {"deal:": 2, "quote:": 1, "no kind": 3}
    assert found["expired"] == 1
    assert list(found["unreadable"]) == ["deal:2"]
    assert found["unfound_count"] == 2
    assert hashlib.sha256(path.read_bytes()).hexdigest() == before
    assert [each.name for each in tmp_path.glob("older.db*")] == ["older.db"]
    page = adopt("--url", f"sqlite:///{path}").stdout
    assert "deal:2" in page
    assert "will not be found" in page


def test_the_file_of_the_agents_settings(agent: Path, adopt: Adopt) -> None:
    (agent / "data").mkdir()
    older_file(agent / "data" / "it.db")
    (agent / ".env").write_text("storage_type=sqlite\ndatabase_url=sqlite:///./data/it.db\n")
    assert census(adopt)["counts"]["deal:"] == 2


def test_a_store_that_is_not_there_is_not_made(agent: Path, adopt: Adopt, tmp_path: Path) -> None:
    assert "no file" in census(adopt, "--url", f"sqlite:///{tmp_path}/none.db")["problem"]
    assert not (tmp_path / "none.db").exists()
    assert "no file" in census(adopt)["problem"]


def test_a_file_that_is_no_store(adopt: Adopt, tmp_path: Path) -> None:
    path = tmp_path / "text.db"
    path.write_text("This is no database.")
    assert "not a database" in census(adopt, "--url", f"sqlite:///{path}")["problem"]


def test_what_cannot_be_looked_at_is_said(adopt: Adopt) -> None:
    assert "'memory' cannot be looked at" in census(adopt, "--url", "memory://")["problem"]


def test_a_server_that_never_comes(adopt: Adopt) -> None:
    found = census(adopt, "--url", "redis://:secret@127.0.0.1:1/0")
    assert "ConnectionError" in found["problem"]
    assert "secret" not in json.dumps(found)


def test_a_store_of_another_form(adopt: Adopt, tmp_path: Path, new_database: str) -> None:
    path = tmp_path / "others.db"
    with sqlite3.connect(path) as db:
        db.execute("CREATE TABLE kv_store (id INTEGER, key TEXT, payload TEXT)")
    db.close()
    assert "another form: id, key, payload" in census(adopt, "--url", f"sqlite:///{path}")["problem"]
    run_sql(new_database, "CREATE TABLE ad_seller_schema (name text, value text)")
    run_sql(new_database, "INSERT INTO ad_seller_schema VALUES ('version', '99')")
    found = census(adopt, "--url", new_database)
    assert "version 99 of our tables" in found["problem"]
    assert "Upgrade this one" in found["problem"]


def test_a_redis(adopt: Adopt, redis_url: str, monkeypatch: Any) -> None:
    prefix = "adopt-test:"
    monkeypatch.setenv("REDIS_KEY_PREFIX", prefix)
    with redis.Redis.from_url(redis_url) as client:
        try:
            client.set(f"{prefix}order:1", "{}")
            client.set(f"{prefix}order:2", "{broken")
            client.lpush(f"{prefix}order:3", "a list")
            before = sorted(client.scan_iter(f"{prefix}*"))
            found = census(adopt, "--url", redis_url)
            assert sorted(client.scan_iter(f"{prefix}*")) == before
        finally:
            client.delete(*client.scan_iter(f"{prefix}*"))
    assert found["counts"] == {"order:": 3}
    assert sorted(found["unreadable"]) == ["order:2", "order:3"]


def test_a_postgresql(adopt: Adopt, new_database: str) -> None:
    async def fill() -> None:
        connection = await asyncpg.connect(new_database)
        await connection.execute(
            "CREATE TABLE kv_store (key TEXT PRIMARY KEY, value JSONB, expires_at DOUBLE PRECISION)"
        )
        await connection.execute(
            "INSERT INTO kv_store VALUES ('deal:1', '{}'), ('session:1', '{}'), ('deal:2', '1')"
        )
        await connection.execute("UPDATE kv_store SET expires_at = 1 WHERE key = 'deal:2'")
        await connection.close()

    async def tables() -> list[str]:
        connection = await asyncpg.connect(new_database)
        rows = await connection.fetch("SELECT relname FROM pg_stat_user_tables")
        await connection.close()
        return [row[0] for row in rows]

    asyncio.run(fill())
    assert census(adopt, "--url", new_database)["counts"] == {"deal:": 1, "session:": 1}
    assert asyncio.run(tables()) == ["kv_store"]


def test_hybrid_says_what_lies_on_the_wrong_side(
    adopt: Adopt, new_database: str, redis_url: str, monkeypatch: Any
) -> None:
    async def fill() -> None:
        connection = await asyncpg.connect(new_database)
        await connection.execute(
            "CREATE TABLE kv_store (key TEXT PRIMARY KEY, value JSONB, expires_at DOUBLE PRECISION)"
        )
        await connection.execute("INSERT INTO kv_store VALUES ('deal:1', '{}'), ('session:1', '{}')")
        await connection.close()

    asyncio.run(fill())
    monkeypatch.setenv("STORAGE_TYPE", "hybrid")
    monkeypatch.setenv("DATABASE_URL", new_database)
    monkeypatch.setenv("REDIS_URL", redis_url)
    monkeypatch.setenv("REDIS_KEY_PREFIX", "no such:")
    found = census(adopt)
    assert found["counts"] == {"deal:": 1, "session:": 1}
    assert found["unfound"] == {"session:1": "it lies in postgres, hybrid looks for it in Redis"}
