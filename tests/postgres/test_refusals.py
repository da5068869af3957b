"""Servers and databases that cannot be used: what is said, and what to do."""

from __future__ import annotations

import asyncio
import os
from typing import Any

import pytest

from ad_seller.storage import ConfigurationError, StorageConnectionError, StorageError
from ad_seller.storage.postgres_backend import PostgresBackend
from ad_seller.storage.testing.postgres_server import PostgresServer
from tests.postgres.support import connections_become, sql


class TestRefusals:
    async def refused(self, url: str, match: str, **settings: Any) -> StorageError:
        with pytest.raises(StorageError, match=match) as caught:
            await PostgresBackend(url, timeout=2, **settings).connect()
        assert "secret" not in str(caught.value)
        assert caught.value.__cause__ is not None
        return caught.value

    async def test_wrong_password(self) -> None:
        def start() -> PostgresServer:
            server = PostgresServer(password="right secret")
            server.start()
            return server

        server = await asyncio.to_thread(start)
        try:
            async with PostgresBackend(server.url()) as storage:
                await storage.set("a", 1)
            error = await self.refused(
                server.url(password="wrong secret"), "password authentication failed.*Check user"
            )
            assert isinstance(error, StorageConnectionError)
            await self.refused(server.url(user="nobody", password="x"), "password authentication failed")
        finally:
            await asyncio.to_thread(server.remove)

    async def test_missing_database(self, postgres_url: str) -> None:
        url = f"{postgres_url}_missing"
        assert isinstance(await self.refused(url, "does not exist.*CREATE DATABASE"), StorageConnectionError)

    async def test_nobody_there(self) -> None:
        error = await self.refused(
            "postgresql://u:secret@127.0.0.1:1/d", "cannot be reached .*Is the server running"
        )
        assert isinstance(error, ConnectionError)

    async def test_unknown_host(self) -> None:
        await self.refused(
            "postgresql://u:secret@no-such-host.invalid/d", "There is no such host|cannot be reached"
        )

    async def test_no_socket(self, tmp_path: object) -> None:
        await self.refused(
            f"postgresql://u:secret@/d?host={tmp_path}", "The server's socket is not there: is the server running"
        )

    async def test_another_kind_of_server(self, redis_url: str) -> None:
        address = redis_url.rpartition("@")[2].removeprefix("redis://").partition("/")[0]
        await self.refused(f"postgresql://u:secret@{address}/d", "cannot be reached|did not answer")

    async def test_tls_that_the_server_does_not_offer(self, postgres_url: str) -> None:
        await self.refused(
            f"{postgres_url}?sslmode=require",
            "The server offers no TLS: turn ssl on there, or write sslmode=prefer",
        )

    async def test_an_option_that_the_server_does_not_know(self, postgres_url: str) -> None:
        error = await self.refused(f"{postgres_url}?no_such_option=1", 'no_such_option".*Remove that option')
        assert isinstance(error, ConfigurationError)

    async def test_too_many_sessions(self, new_database: str) -> None:
        name = new_database.rpartition("/")[2]
        await sql(new_database, f"ALTER DATABASE {name} CONNECTION LIMIT 2")
        if os.environ.get("DATABASE_URL"):
            pytest.skip("superusers are not limited")
        await sql(new_database, f"CREATE ROLE {name}_user LOGIN")
        await sql(new_database, f"GRANT CREATE ON SCHEMA public TO {name}_user")
        url = f"postgresql://{name}_user@{new_database.rpartition('@')[2]}"
        error = await self.refused(url, "too many connections.*pool_max", pool_min=5)
        assert isinstance(error, StorageConnectionError)
        assert await connections_become(new_database, 0, 30)  # for a moment the server counts those that are closed
        async with PostgresBackend(url, pool_min=1, pool_max=10) as storage:
            await asyncio.gather(*(storage.keys() for _ in range(50)), *(storage.increment("n") for _ in range(50)))
        await connections_become(new_database, 0)
        await sql(new_database, f"DROP OWNED BY {name}_user")
        await sql(new_database, f"DROP ROLE {name}_user")

    async def test_over_a_unix_socket(self, postgres_server: PostgresServer) -> None:
        async with PostgresBackend(postgres_server.socket_url()) as storage:
            assert await storage.get("nothing") is None

    async def test_the_first_host_that_can_be_written_to(self, postgres_url: str) -> None:
        head, _, tail = postgres_url.rpartition("@")
        async with PostgresBackend(f"{head}@127.0.0.1:1,{tail}") as storage:
            await storage.set("a", 1)
