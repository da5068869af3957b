"""Many first callers at once, of a server that does not answer: each hears within its own time-out."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest

from ad_seller.storage import (
    NamespacedBackend,
    StorageBackend,
    StorageConnectionError,
    StorageTimeoutError,
    factory,
    get_storage,
)
from ad_seller.storage.hybrid_backend import HybridBackend
from ad_seller.storage.memory_backend import MemoryBackend
from ad_seller.storage.postgres_backend import PostgresBackend
from ad_seller.storage.redis_backend import RedisBackend
from ad_seller.storage.testing.postgres_server import PostgresServer
from ad_seller.storage.testing.servers import RedisServer
from tests.lateness import loop_lateness

CALLERS = 8
TIMEOUT = 0.5


@pytest.fixture
async def silent() -> AsyncIterator[str]:
    """The address of a server that takes connections and says nothing."""

    async def hold(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read()
        writer.close()

    async with await asyncio.start_server(hold, "127.0.0.1", 0) as listening:
        yield f"127.0.0.1:{listening.sockets[0].getsockname()[1]}"


async def all_hear_in_time(call: Callable[[], Awaitable[Any]]) -> None:
    """Make the call several times at once; each is to fail as if it were alone."""

    async def timed() -> float:
        began = time.perf_counter()
        with pytest.raises((StorageTimeoutError, StorageConnectionError)):
            await call()
        return time.perf_counter() - began

    async with loop_lateness() as late:
        seconds = await asyncio.gather(*(timed() for _ in range(CALLERS)))
    assert max(seconds) <= 3 * TIMEOUT + sum(late)  # one after the other they take CALLERS times as long


async def in_a_further_event_loop(storage: StorageBackend, server: PostgresServer | RedisServer) -> None:
    async with storage:
        await storage.set("a", 1)
        server.freeze()
        failures: list[BaseException] = []

        def use() -> None:
            try:
                asyncio.run(all_hear_in_time(lambda: storage.get("a")))
            except BaseException as error:
                failures.append(error)

        thread = threading.Thread(target=use)
        thread.start()
        await asyncio.to_thread(thread.join)
        server.thaw()
        assert not failures, failures
        assert await storage.get("a") == 1


async def test_in_a_further_event_loop_of_postgres(own_postgres: PostgresServer) -> None:
    await in_a_further_event_loop(PostgresBackend(own_postgres.url(), timeout=TIMEOUT), own_postgres)


async def test_in_a_further_event_loop_of_redis(own_redis: RedisServer) -> None:
    await in_a_further_event_loop(RedisBackend(own_redis.url, timeout=TIMEOUT), own_redis)


@pytest.mark.parametrize("kind", [PostgresBackend, RedisBackend])
async def test_who_connect_at_once(silent: str, kind: Any) -> None:
    storage = kind(f"{kind.__name__.removesuffix('Backend').lower()}://{silent}/0", timeout=TIMEOUT)
    await all_hear_in_time(storage.connect)
    await all_hear_in_time(storage.connect)


async def test_namespaces_of_one_backend(silent: str) -> None:
    storage = RedisBackend(f"redis://{silent}/0", timeout=TIMEOUT)
    names = iter(range(CALLERS))
    await all_hear_in_time(lambda: NamespacedBackend(storage, f"n{next(names)}").connect())


async def test_the_shared_storage(silent: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("STORAGE_TYPE", "redis")
    monkeypatch.setenv("REDIS_URL", f"redis://{silent}/0?timeout={TIMEOUT}")
    monkeypatch.setattr(factory, "_shared", factory._Shared())
    await all_hear_in_time(get_storage)


async def test_each_waits_for_a_server_as_long_as_it_was_told_to(silent: str) -> None:
    storage = RedisBackend(f"redis://{silent}/0", timeout=0.1, connect_wait=0.6)
    began = time.monotonic()
    first = asyncio.create_task(storage.connect())
    await asyncio.sleep(0.4)
    second = asyncio.create_task(storage.connect())
    for task, least in ((first, 0.3), (second, 0.7)):  # less a pause and an attempt
        with pytest.raises((StorageTimeoutError, StorageConnectionError)):
            await task
        assert time.monotonic() - began >= least


async def test_a_hybrid_that_connects_again_in_vain_keeps_what_is_open(own_redis: RedisServer) -> None:
    storage = HybridBackend(MemoryBackend(), RedisBackend(own_redis.url, timeout=TIMEOUT))
    async with storage:
        await storage.set("deal:1", 1)
        own_redis.freeze()
        with pytest.raises(StorageTimeoutError):
            await asyncio.to_thread(lambda: asyncio.run(storage.connect()))
        assert await storage.get("deal:1") == 1
        own_redis.thaw()
        await storage.set_session("s1", {"a": 1})
