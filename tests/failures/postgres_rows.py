"""PostgreSQL."""

from __future__ import annotations

from pathlib import Path
from urllib.parse import urlsplit

import asyncpg
import pytest

from ad_seller.storage import StorageError
from ad_seller.storage.postgres.statements import TABLE
from ad_seller.storage.postgres_backend import PostgresBackend
from tests.postgres.support import refusing, sql
from tests.proxy import Proxy

from .provoking import TIMEOUT, at_last, disconnected, failed, free_port, held, kept, lost, provokes, refused

NEW = "new.value LIKE '%new%'"  #: what the server refuses


def address(request: pytest.FixtureRequest) -> str:
    """Return an empty database."""
    url: str = request.getfixturevalue("postgres_url")
    return url


def through(url: str, proxy: Proxy, timeout: float = TIMEOUT) -> PostgresBackend:
    """Return a backend whose server is behind a proxy."""
    port = urlsplit(url).port
    return PostgresBackend(url.replace(f":{port}/", f":{proxy.port}/"), 1, 2, timeout=timeout)


@provokes("PostgreSQL", "nobody listens")
async def _(path: Path, request: pytest.FixtureRequest) -> StorageError:
    return await failed(PostgresBackend(f"postgresql://postgres@127.0.0.1:{free_port()}/postgres").connect())


@provokes("PostgreSQL", "it refuses the login")
async def _(path: Path, request: pytest.FixtureRequest) -> StorageError:
    url = address(request)
    at = f"{urlsplit(url).hostname}:{urlsplit(url).port}{urlsplit(url).path}"
    error = await failed(PostgresBackend(f"postgresql://nobody:wrong@{at}").connect())
    assert "wrong" not in str(error)
    return error


@provokes("PostgreSQL", "there is no such database")
async def _(path: Path, request: pytest.FixtureRequest) -> StorageError:
    url = address(request)
    return await failed(PostgresBackend(url.replace(urlsplit(url).path, "/missing")).connect())


@provokes("PostgreSQL", "the server refuses a key (a trigger, a right, a full disk)")
async def _(path: Path, request: pytest.FixtureRequest) -> StorageError:
    url = address(request)
    async with kept(PostgresBackend(url, 1, 2)) as store, refusing(url, NEW, "RAISE 'not this key'"):
        return await refused(store)


@provokes("PostgreSQL", "another session holds the row for longer than the time-out")
async def _(path: Path, request: pytest.FixtureRequest) -> StorageError:
    url = address(request)
    async with kept(PostgresBackend(url, 1, 2, timeout=TIMEOUT)) as store:
        other = await asyncpg.connect(url)
        async with other.transaction():
            await other.execute(f"SELECT FROM {TABLE} WHERE key = 'key' FOR UPDATE")
            error = await refused(store)
        await other.close()
    return error


@provokes("PostgreSQL", "the database takes no writes")
async def _(path: Path, request: pytest.FixtureRequest) -> StorageError:
    url = address(request)
    async with PostgresBackend(url, 1, 2) as store:
        await store.set("key", "old")
    read_only = f"ALTER DATABASE {urlsplit(url).path[1:]} SET default_transaction_read_only"
    try:
        await sql(url, f"{read_only} = on")
        async with PostgresBackend(url, 1, 2) as store:
            error = await refused(store)
            assert await store.get("key") == "old"
    finally:
        writer = await asyncpg.connect(url, server_settings={"default_transaction_read_only": "off"})
        await writer.execute(f"{read_only} = off")
        await writer.close()
    return error


@provokes("PostgreSQL", "the session was ended while it wrote")
async def _(path: Path, request: pytest.FixtureRequest) -> StorageError:
    url = address(request)
    end = "PERFORM pg_terminate_backend(pg_backend_pid())"
    async with PostgresBackend(url, 1, 2) as store:
        async with refusing(url, NEW, end):
            error = await refused(store)
        assert await at_last(store) is None
    return error


@provokes("PostgreSQL", "the connection broke after a write was sent")
async def _(path: Path, request: pytest.FixtureRequest) -> StorageError:
    url = address(request)
    with Proxy(urlsplit(url).port or 0) as proxy:
        return await lost(through(url, proxy, timeout=5), proxy)


@provokes("PostgreSQL", "a write was sent, no answer came in time")
async def _(path: Path, request: pytest.FixtureRequest) -> StorageError:
    url = address(request)
    with Proxy(urlsplit(url).port or 0) as proxy:
        store = through(url, proxy)
        return await held(store, proxy, lambda: store.set("key", "new"))


@provokes("PostgreSQL", "a read was sent, no answer came in time")
async def _(path: Path, request: pytest.FixtureRequest) -> StorageError:
    url = address(request)
    with Proxy(urlsplit(url).port or 0) as proxy:
        store = through(url, proxy)
        return await held(store, proxy, lambda: store.get("key"))


@provokes("PostgreSQL", "a stored text is no JSON")
async def _(path: Path, request: pytest.FixtureRequest) -> StorageError:
    url = address(request)
    async with PostgresBackend(url, 1, 2) as store:
        await sql(url, f"INSERT INTO {TABLE} (key, value) VALUES ('key', 'no json')")
        error = await failed(store.get("key"))
        assert error.key == "key"
    return error


@provokes("PostgreSQL", "disconnected")
async def _(path: Path, request: pytest.FixtureRequest) -> StorageError:
    return await disconnected(PostgresBackend(address(request), 1, 2))
