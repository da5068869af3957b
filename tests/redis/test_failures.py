"""Servers that are not there, freeze, restart, refuse or hang up: an error in time, and no need to reconnect."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable, Coroutine
from typing import Any

import pytest

from ad_seller.storage import (
    StorageConnectionError,
    StorageError,
    StorageTimeoutError,
    UnknownOutcomeError,
)
from ad_seller.storage.driver.failures import LostError
from ad_seller.storage.redis.pool import NodePool
from ad_seller.storage.redis_backend import RedisBackend
from ad_seller.storage.testing.servers import RedisServer
from tests.lateness import loop_lateness
from tests.proxy import Proxy

from .support import TOLERANCE, free_port, plain, timed

Call = Callable[[RedisBackend, str], Coroutine[Any, Any, Any]]

READS: list[Call] = [
    lambda store, key: store.get(key),
    lambda store, key: store.exists(key),
    lambda store, key: store.keys(f"{key}*"),
    lambda store, key: store.scan(f"{key}*"),
    lambda store, key: store.get_many([key, "x"]),
    lambda store, key: store.ttl("always"),
    lambda store, key: store.get_stats(),
]
WRITES: list[Call] = [
    lambda store, key: store.set(key, {"n": 1}),
    lambda store, key: store.set_many({key: 1, f"{key}:2": 2}, ttl=60),
    lambda store, key: store.delete(key),
    lambda store, key: store.update(key, lambda current: 1),
    lambda store, key: store.expire(key, 60),
    lambda store, key: store.incr(f"counter:{key}"),
    lambda store, key: store.publish("news", {"key": key}),
]


def test_no_call_waits_longer_than_five_seconds_unless_told() -> None:
    assert RedisBackend("redis://localhost").timeout == 5.0


async def test_nobody_there() -> None:
    port = free_port()
    error, seconds = await timed(RedisBackend(f"redis://127.0.0.1:{port}").connect())
    assert isinstance(error, StorageConnectionError)
    assert isinstance(error, ConnectionError)
    assert f"127.0.0.1:{port}" in str(error)
    assert "running" in str(error)
    assert seconds < TOLERANCE


async def test_no_such_host() -> None:
    error, seconds = await timed(RedisBackend("redis://no-such-host.invalid", timeout=3).connect())
    assert isinstance(error, StorageConnectionError | StorageTimeoutError)
    assert "no-such-host.invalid" in str(error)
    assert seconds < 3 + TOLERANCE


async def test_somebody_else_there() -> None:
    """A server that listens and says nothing, and one that speaks another language."""
    for answer in (b"", b"HTTP/1.1 400 Bad Request\r\n\r\n", b"\x00\xff\x00\xff\r\n"):

        async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, answer: bytes = answer) -> None:
            writer.write(answer)
            await reader.read()
            writer.close()

        server = await asyncio.start_server(serve, "127.0.0.1", 0)
        store = RedisBackend(f"redis://127.0.0.1:{server.sockets[0].getsockname()[1]}", timeout=0.3)
        error, seconds = await timed(store.connect())
        assert isinstance(error, StorageError), repr(error)
        assert seconds < 0.3 + TOLERANCE
        server.close()
        await asyncio.sleep(0.01)


async def test_a_connect_that_failed_can_be_tried_again(own_redis: RedisServer) -> None:
    own_redis.stop()
    store = RedisBackend(own_redis.url)
    with pytest.raises(StorageConnectionError):
        await store.connect()
    own_redis.start()
    async with store:
        await store.set("key", 1)


async def test_a_frozen_server_keeps_nobody_waiting(own_redis: RedisServer) -> None:
    """500 reads and writes, started at different times, get an error of ours within the time-out of 1 s."""
    chance = random.Random(5)
    store = RedisBackend(own_redis.url, timeout=1.0)
    await store.connect()
    await store.set("always", 1)
    own_redis.freeze()
    tasks = []
    for number in range(500):
        call = chance.choice(READS + WRITES)
        tasks.append(asyncio.create_task(timed(call(store, f"key:{number}"))))
        if number % 5 == 0:
            await asyncio.sleep(chance.random() * 0.02)
    results = await asyncio.gather(*tasks)
    for error, seconds in results:
        assert isinstance(error, StorageTimeoutError | UnknownOutcomeError), repr(error)
        assert isinstance(error, TimeoutError | ConnectionError)
        assert seconds < 1.0 + TOLERANCE
    own_redis.thaw()
    for call in READS + WRITES:
        await call(store, "after")
    await store.disconnect()


@pytest.mark.parametrize("timeout", [1.0, 3.0])
async def test_no_call_on_a_frozen_server_lasts_longer_than_the_time_out(
    own_redis: RedisServer, timeout: float
) -> None:
    async with RedisBackend(own_redis.url, timeout=timeout) as store:
        await store.set("key", 1)
        assert await store.keys("*") == ["key"]
        own_redis.freeze()
        async with loop_lateness() as lateness:
            calls = [call(store, "key") for call in READS + WRITES]
            results = await asyncio.gather(*map(timed, [*calls, store.keys("*"), store.scan("k*")]))
        for error, seconds in results:
            assert isinstance(error, StorageTimeoutError | UnknownOutcomeError), repr(error)
            assert seconds <= timeout + sum(lateness)
        own_redis.thaw()


async def test_a_frozen_server_that_thaws_in_time(own_redis: RedisServer, own_store: RedisBackend) -> None:
    await own_store.set_many({"always": 1, "key": 1})
    own_redis.freeze()
    tasks = [asyncio.create_task(call(own_store, "key")) for call in READS + WRITES]
    await asyncio.sleep(0.2)
    own_redis.thaw()
    await asyncio.gather(*tasks)


async def test_connecting_to_a_frozen_server(own_redis: RedisServer) -> None:
    own_redis.freeze()
    store = RedisBackend(own_redis.url, timeout=0.8)
    error, seconds = await timed(store.connect())
    assert isinstance(error, StorageTimeoutError | StorageConnectionError)
    assert "0.8 s" in str(error)
    assert seconds < 0.8 + TOLERANCE
    own_redis.thaw()
    async with store:
        await store.set("key", 1)


async def test_disconnect_from_a_frozen_server(own_redis: RedisServer) -> None:
    store = RedisBackend(own_redis.url, timeout=0.8)
    await store.connect()
    own_redis.freeze()
    write = asyncio.create_task(timed(store.set("key", 1)))
    await asyncio.sleep(0)
    _, seconds = await timed(store.disconnect())
    assert seconds < 0.8 + TOLERANCE
    assert isinstance((await write)[0], StorageError)
    own_redis.thaw()


@pytest.mark.parametrize("first", range(len(READS + WRITES)))
async def test_after_a_restart_the_next_call_succeeds(
    first: int, own_redis: RedisServer, own_store: RedisBackend
) -> None:
    """Whichever it is, without reconnecting; and what was acknowledged is there."""
    await own_store.set_many({"always": 1, "key": 1})
    await asyncio.gather(*(call(own_store, f"many:{number}") for number in range(8) for call in READS))
    await asyncio.to_thread(own_redis.restart)
    await (READS + WRITES)[first](own_store, "key")
    assert await own_store.get("always") == 1


async def test_while_the_server_is_down_the_error_comes_at_once(
    own_redis: RedisServer, own_store: RedisBackend
) -> None:
    await own_store.set("always", 1)
    own_redis.kill()
    for call in READS + WRITES:
        error, seconds = await timed(call(own_store, "key"))
        assert isinstance(error, StorageConnectionError | UnknownOutcomeError), repr(error)
        assert seconds < TOLERANCE
    own_redis.start()
    for call in READS + WRITES:
        await call(own_store, "key")
    assert await own_store.get("always") == 1


async def test_idle_connections_that_the_server_closes(own_redis: RedisServer, own_store: RedisBackend) -> None:
    await own_store.set("always", 1)
    with plain(own_redis.url) as client:
        for number in range(20):
            await asyncio.gather(*(call(own_store, f"key:{i}") for i in range(5) for call in READS + WRITES))
            assert client.execute_command("CLIENT", "KILL", "TYPE", "normal") > 0
            if number % 2:
                await asyncio.sleep(0.002)
            await asyncio.gather(*(call(own_store, f"key:{i}") for i in range(5) for call in READS + WRITES))


async def test_connections_that_a_firewall_dropped_fail_one_call_and_not_each_its_own(proxy: Proxy) -> None:
    async with RedisBackend(f"redis://127.0.0.1:{proxy.port}", timeout=2) as store:
        await store.set("key", 1)
        proxy.hold = True
        reads = []
        for _ in range(4):  # one connection each
            reads.append(asyncio.create_task(store.get("key")))
            await asyncio.sleep(0.01)
        proxy.hold = False
        assert await asyncio.gather(*reads) == [1] * 4
        assert await store.keys() == ["key"]
        proxy.era += 1
        with pytest.raises(StorageTimeoutError):
            await store.get("key")
        began = asyncio.get_running_loop().time()
        for _ in range(6):
            assert await store.get("key") == 1
        assert await store.keys() == ["key"]
        await store.set("key", 2)
        assert asyncio.get_running_loop().time() - began < 2 + TOLERANCE


async def test_a_short_time_is_not_that_of_the_call_before(own_redis: RedisServer) -> None:
    """A look whether a connection lives, or a node of several that is asked, has less time than a call."""
    loop = asyncio.get_running_loop()
    pool = NodePool(own_redis.url, connections=1)
    assert await pool.pipeline([("PING",)], loop.time() + 300) == [b"PONG"]
    own_redis.freeze()
    with pytest.raises(LostError, match="no answer in time"):
        await asyncio.wait_for(pool.pipeline([("PING",)], loop.time() + 0.2), 30)
    own_redis.thaw()
    await pool.close()
