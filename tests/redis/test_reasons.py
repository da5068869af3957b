"""Errors of the connect say what is wrong and what to do."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from ad_seller.storage.errors import StorageConnectionError
from ad_seller.storage.redis import redispy
from ad_seller.storage.redis_backend import RedisBackend
from ad_seller.storage.testing.servers import RedisServer
from tests.redis.support import plain


@pytest.mark.parametrize("option", ["ssl_ca_certs", "ssl_certfile"])
async def test_file_that_is_not_there_is_named(tmp_path: Path, option: str) -> None:
    missing = tmp_path / "nowhere.pem"
    with RedisServer(tmp_path / "redis") as server:
        url = f"{server.url.replace('redis:', 'rediss:')}?{option}={missing}"
        with pytest.raises(StorageConnectionError, match=f"no file '{missing}', which {option} names"):
            await RedisBackend(url).connect()


@pytest.fixture
def patient(monkeypatch: pytest.MonkeyPatch) -> None:
    """A busy server is listened to for longer."""
    monkeypatch.setattr(redispy, "_LISTEN", 20.0)


@pytest.mark.usefixtures("patient")
async def test_every_client_too_many_is_told_so(tmp_path: Path) -> None:
    """The server says so and closes; who had sent something by then heard only that the connection was lost."""
    with RedisServer(tmp_path, unix_socket=True) as server, plain(server.url) as admin:
        admin.config_set("maxclients", 2)
        async with RedisBackend(server.url) as store:
            await store.set("a", 1)
            for url in (server.url, server.unix_url):
                for _ in range(20):
                    with pytest.raises(StorageConnectionError, match=r"no more connections.*Raise its maxclients"):
                        await RedisBackend(url).connect()
            with pytest.raises(StorageConnectionError, match="no more connections"):
                await store.keys()  # needs a connection of its own


@pytest.mark.usefixtures("patient")
async def test_a_server_that_closes_at_once_is_quoted(tmp_path: Path) -> None:
    async def refuse(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"-DENIED Redis is running in protected mode.\r\n")
        writer.close()

    async with await asyncio.start_server(refuse, "127.0.0.1", 0) as server:
        port = server.sockets[0].getsockname()[1]
        for _ in range(20):
            with pytest.raises(StorageConnectionError, match="DENIED Redis is running in protected mode"):
                await RedisBackend(f"redis://127.0.0.1:{port}").connect()
