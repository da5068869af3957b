"""One Redis server."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from ad_seller.storage import StorageError
from ad_seller.storage.redis_backend import RedisBackend
from ad_seller.storage.testing.redis_nodes import ask
from ad_seller.storage.testing.servers import RedisServer
from tests.proxy import Proxy

from .provoking import TIMEOUT, at_last, disconnected, failed, free_port, held, kept, lost, provokes, refused


@contextmanager
def server(path: Path, **config: str) -> Iterator[RedisServer]:
    """A server of the row's own."""
    with RedisServer(path.with_name("redis"), config=config) as one:
        yield one


@provokes("Redis", "nobody listens")
async def _(path: Path, request: pytest.FixtureRequest) -> StorageError:
    return await failed(RedisBackend(f"redis://127.0.0.1:{free_port()}/0").connect())


@provokes("Redis", "it refuses the login")
async def _(path: Path, request: pytest.FixtureRequest) -> StorageError:
    with RedisServer(path.with_name("redis"), password="right") as one:
        error = await failed(RedisBackend(f"redis://:wrong@127.0.0.1:{one.port}/0").connect())
        assert "wrong" not in str(error)
        return error


@provokes("Redis", "it has as many clients as it takes")
async def _(path: Path, request: pytest.FixtureRequest) -> StorageError:
    with server(path) as one:
        async with RedisBackend(one.url) as first:
            await first.set("key", "old")
            ask(one, "CONFIG", "SET", "maxclients", "1")
            return await failed(RedisBackend(one.url, timeout=TIMEOUT).connect())


@provokes("Redis", "it was ended; the write was not sent")
async def _(path: Path, request: pytest.FixtureRequest) -> StorageError:
    with server(path, appendonly="yes", appendfsync="always") as one:
        async with kept(RedisBackend(one.url, timeout=TIMEOUT)) as store:
            one.kill()
            await failed(store.get("key"))  # takes note that the connection is gone
            error = await refused(store)
            one.start()
    return error


@provokes("Redis", "no memory is left")
async def _(path: Path, request: pytest.FixtureRequest) -> StorageError:
    with server(path) as one:
        async with kept(RedisBackend(one.url)) as store:
            ask(one, "CONFIG", "SET", "maxmemory", "1")
            error = await refused(store)
            ask(one, "CONFIG", "SET", "maxmemory", "0")
    return error


@provokes("Redis", "it was made a replica")
async def _(path: Path, request: pytest.FixtureRequest) -> StorageError:
    with server(path) as one:
        async with kept(RedisBackend(one.url)) as store:
            ask(one, "REPLICAOF", "127.0.0.1", free_port())
            error = await refused(store)
    return error


@provokes("Redis", "the user may not write the key")
async def _(path: Path, request: pytest.FixtureRequest) -> StorageError:
    with server(path) as one:
        ask(one, "SET", "ad_seller:key", '"old"')
        rules = ["on", ">pw", "+@all", "~ad_seller:mine:*", "~ad_seller:?index", "%R~ad_seller:*"]
        rules = rules if int(one.binary.version[0]) >= 7 else rules[:-1]
        ask(one, "ACL", "SETUSER", "agent", "reset", *rules, "&*")
        async with RedisBackend(one.url.replace("redis://", "redis://agent:pw@")) as store:
            error = await refused(store)
            await store.set("mine:1", 1)
        assert ask(one, "GET", "ad_seller:key") == '"old"'
    return error


@provokes("Redis", "the connection broke after a write was sent")
async def _(path: Path, request: pytest.FixtureRequest) -> StorageError:
    with server(path) as one, Proxy(one.port) as proxy:
        return await lost(RedisBackend(f"redis://127.0.0.1:{proxy.port}/0"), proxy)


@provokes("Redis", "a write was sent, no answer came in time")
async def _(path: Path, request: pytest.FixtureRequest) -> StorageError:
    with server(path) as one, Proxy(one.port) as proxy:
        store = RedisBackend(f"redis://127.0.0.1:{proxy.port}/0", timeout=TIMEOUT)
        return await held(store, proxy, lambda: store.set("key", "new"))


@provokes("Redis", "a read was sent, no answer came in time")
async def _(path: Path, request: pytest.FixtureRequest) -> StorageError:
    with server(path) as one, Proxy(one.port) as proxy:
        store = RedisBackend(f"redis://127.0.0.1:{proxy.port}/0", timeout=TIMEOUT)
        return await held(store, proxy, lambda: store.get("key"))


@provokes("Redis", "a stored text is no JSON")
async def _(path: Path, request: pytest.FixtureRequest) -> StorageError:
    with server(path) as one:
        ask(one, "SET", "ad_seller:key", "no json")
        async with RedisBackend(one.url) as store:
            error = await failed(store.get("key"))
        assert error.key == "key"
        assert ask(one, "GET", "ad_seller:key") == "no json"
    return error


@provokes("Redis", "too few replicas confirmed a write")
async def _(path: Path, request: pytest.FixtureRequest) -> StorageError:
    with server(path) as one:
        async with RedisBackend(one.url, wait_replicas=1, timeout=TIMEOUT) as store:
            error = await refused(store)
            assert await at_last(store) == "new"
    return error


@provokes("Redis", "disconnected")
async def _(path: Path, request: pytest.FixtureRequest) -> StorageError:
    with server(path) as one:
        return await disconnected(RedisBackend(one.url))
