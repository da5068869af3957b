"""What the rows of the table share."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from ad_seller.storage import StorageBackend, StorageError
from tests.proxy import Proxy

TIMEOUT = 0.7  #: seconds that a call waits where it is to run out of time

Provoke = Callable[[Path, pytest.FixtureRequest], Awaitable[StorageError]]

#: By engine and what happened, in the order of the table.
PROVOKED: dict[tuple[str, str], Provoke] = {}


def provokes(engine: str, happened: str) -> Callable[[Provoke], Provoke]:
    """Mark what provokes a row."""

    def mark(function: Provoke) -> Provoke:
        PROVOKED[engine, happened] = function
        return function

    return mark


async def failed(call: Awaitable[object]) -> StorageError:
    """Return the error of ours that a call raises."""
    with pytest.raises(StorageError) as caught:
        await call
    return caught.value


async def refused(store: StorageBackend, key: str = "key") -> StorageError:
    """Return the error of a write, which must name its key."""
    error = await failed(store.set(key, "new"))
    assert error.key == key
    return error


@asynccontextmanager
async def kept(store: StorageBackend, key: str = "key") -> AsyncIterator[StorageBackend]:
    """Lend a connected store whose entry must be as it was at the end: nothing was written."""
    async with store:
        await store.set(key, "old")
        yield store
        assert await at_last(store, key) == "old"


async def at_last(store: StorageBackend, key: str = "key") -> object:
    """Read an entry when the store can be used again."""
    for _ in range(100):
        try:
            return await store.get(key)
        except StorageError:
            await asyncio.sleep(0.1)
    return await store.get(key)


async def disconnected(store: StorageBackend) -> StorageError:
    """Return the error of a write after `disconnect`."""
    async with store:
        await store.set("key", "old")
    error = await failed(store.set("key", "new"))
    async with store:
        assert await store.get("key") == "old"
    return error


def free_port() -> int:
    """Return a port where nobody listens."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


async def held(store: StorageBackend, proxy: Proxy, call: Callable[[], Awaitable[object]]) -> StorageError:
    """Return the error of a call whose request arrives and whose answer does not."""
    async with store:
        await store.set("key", "old")
        proxy.hold = True
        error = await failed(call())
        proxy.hold = False
        assert await at_last(store) in ("old", "new")
    return error


async def lost(store: StorageBackend, proxy: Proxy) -> StorageError:
    """Return the error of a write whose connection breaks when the server has it."""
    async with store:
        await store.set("key", "old")
        proxy.lose_once(b"a new value")
        error = await failed(store.set("key", "a new value"))
        assert await at_last(store) == "a new value"
    return error
