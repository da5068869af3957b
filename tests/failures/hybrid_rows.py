"""Two engines behind one backend."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from ad_seller.storage import StorageError
from ad_seller.storage.hybrid_backend import HybridBackend
from ad_seller.storage.postgres_backend import PostgresBackend
from ad_seller.storage.redis_backend import RedisBackend
from ad_seller.storage.testing.servers import RedisServer

from .provoking import TIMEOUT, disconnected, failed, free_port, kept, provokes, refused


def both(request: pytest.FixtureRequest, redis_url: str) -> HybridBackend:
    """Return a backend on an empty database and a Redis server."""
    return HybridBackend(
        postgres=PostgresBackend(request.getfixturevalue("postgres_url"), 1, 2, timeout=5),
        redis=RedisBackend(redis_url, timeout=TIMEOUT),
    )


@asynccontextmanager
async def opened(path: Path, request: pytest.FixtureRequest) -> AsyncIterator[tuple[HybridBackend, RedisServer]]:
    """A connected backend, and the server of its sessions, which may be ended."""
    with RedisServer(path.with_name("redis"), config={"appendonly": "yes", "appendfsync": "always"}) as one:
        async with kept(both(request, one.url), "session:1") as store:
            assert isinstance(store, HybridBackend)
            yield store, one
            if not one.running:
                one.start()


@provokes("hybrid", "one side does not answer")
async def _(path: Path, request: pytest.FixtureRequest) -> StorageError:
    return await failed(both(request, f"redis://127.0.0.1:{free_port()}/0").connect())


@provokes("hybrid", "one side was ended; a write to it was not sent")
async def _(path: Path, request: pytest.FixtureRequest) -> StorageError:
    async with opened(path, request) as (store, server):
        server.kill()
        await failed(store.get("session:1"))
        error = await refused(store, "session:1")
        await store.set("deal:1", 1)
        assert await store.get("deal:1") == 1
    return error


@provokes("hybrid", "one side was ended; a listing of both")
async def _(path: Path, request: pytest.FixtureRequest) -> StorageError:
    async with opened(path, request) as (store, server):
        server.kill()
        error = await failed(store.keys())
        assert await store.keys("deal:*") == []
    return error


@provokes("hybrid", "a transaction writes to both sides")
async def _(path: Path, request: pytest.FixtureRequest) -> StorageError:
    async def work(tx: Any) -> None:
        await tx.set("session:1", "new")
        await tx.set("deal:1", "new")

    async with opened(path, request) as (store, _):
        error = await failed(store.transact(work))
        assert await store.get("deal:1") is None
    return error


@provokes("hybrid", "disconnected")
async def _(path: Path, request: pytest.FixtureRequest) -> StorageError:
    with RedisServer(path.with_name("redis")) as one:
        return await disconnected(both(request, one.url))
