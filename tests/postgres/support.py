"""What tests do with PostgreSQL past the backend."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager, contextmanager
from typing import Any
from urllib.parse import urlsplit

import asyncpg
import pytest

from ad_seller.storage.postgres.engine import PostgresEngine
from ad_seller.storage.postgres.statements import APPLICATION, TABLE
from ad_seller.storage.postgres_backend import PostgresBackend
from tests.atomic.support import Address
from tests.engines import engine_of


async def postgres_engine_of(storage: PostgresBackend) -> PostgresEngine:
    """The engine of the running event loop."""
    engine = await engine_of(storage)
    assert isinstance(engine, PostgresEngine)
    return engine


async def sql(url: str, statement: str, *parameters: Any) -> list[Any]:
    """Run one statement over a connection of its own and return its rows."""
    connection = await asyncpg.connect(url, timeout=10)
    try:
        rows: list[Any] = await connection.fetch(statement, *parameters)
        return rows
    finally:
        await connection.close()


def run_sql(url: str, statement: str, *parameters: Any) -> list[Any]:
    """`sql`, where no event loop runs."""
    return asyncio.run(sql(url, statement, *parameters))


def with_database(url: str, database: str) -> str:
    """Return the URL of another database of the same server."""
    return urlsplit(url)._replace(path=f"/{database}").geturl()


@contextmanager
def created_database(admin_url: str, options: str = "") -> Iterator[str]:
    """Create a database, and remove it at the end, also if somebody is still connected."""
    name = f"ad_seller_test_{uuid.uuid4().hex[:16]}"
    run_sql(admin_url, f"CREATE DATABASE {name} {options}")
    try:
        yield with_database(admin_url, name)
    finally:
        run_sql(admin_url, f"DROP DATABASE {name} WITH (FORCE)")


@asynccontextmanager
async def refusing(url: str, condition: str, action: str) -> AsyncIterator[None]:
    """Have the server do ``action`` whenever a row is written for which ``condition`` holds."""
    await sql(
        url,
        f"CREATE OR REPLACE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS "
        f"$$ BEGIN IF {condition} THEN {action}; END IF; RETURN coalesce(new, old); END $$",
    )
    await sql(
        url,
        f"CREATE TRIGGER refuse BEFORE INSERT OR UPDATE ON {TABLE} FOR EACH ROW EXECUTE FUNCTION refuse()",
    )
    try:
        yield
    finally:
        await sql(url, "DROP FUNCTION refuse CASCADE")


async def connections(url: str) -> int:
    """Return how many sessions of the backend the database has."""
    [(number,)] = await sql(
        url,
        "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND application_name = $1",
        APPLICATION,
    )
    return int(number)


async def connections_become(url: str, number: int, seconds: float = 30.0) -> bool:
    """Wait until there are so many sessions: the server notices the end of one a moment later."""
    deadline = asyncio.get_running_loop().time() + seconds
    found = await connections(url)
    while found != number and asyncio.get_running_loop().time() < deadline:
        found = await connections(url)
    return found == number


async def store_text(url: str, key: str, text: str) -> None:
    """Write any text as the value of a key, past the backend."""
    statement = (
        f"INSERT INTO {TABLE} (key, value) VALUES ($1, $2) "
        "ON CONFLICT (key) DO UPDATE SET value = excluded.value, expires_at = NULL"
    )
    try:
        await sql(url, statement, key, text)
    except asyncpg.UndefinedTableError:
        async with PostgresBackend(url):
            pass  # the tables are there now
        await sql(url, statement, key, text)


def raw_writer(url: str) -> Callable[[str, bytes], Awaitable[None]]:
    """Return what writes any text past the backend, as the conformance tests want it."""

    async def store_raw(key: str, text: bytes) -> None:
        try:
            await store_text(url, key, text.decode())
        except UnicodeDecodeError:
            pytest.skip("a text column of PostgreSQL holds nothing but UTF-8")

    return store_raw


class PostgresAddress(Address):
    """Where a store is that has PostgreSQL behind it."""

    def write_text(self, key: str, text: str) -> None:
        with ThreadPoolExecutor(1) as thread:  # an event loop may be running here
            thread.submit(asyncio.run, store_text(self.url, key, text)).result()
