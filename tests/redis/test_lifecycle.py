"""Scripts that forget to close, event loops that come and go, processes that fork, and cancelled callers."""

from __future__ import annotations

import asyncio
import gc
import random
import time
from collections.abc import Callable
from typing import Any

import pytest
import uvloop

from ad_seller.storage import NotConnectedError, StorageBackend
from ad_seller.storage.redis.engine import RedisEngine
from ad_seller.storage.redis_backend import RedisBackend
from ad_seller.storage.testing.servers import RedisServer
from tests.processes import run_code, run_job
from tests.storms import Holdings, Operation, cancel_at_random, value_of

from .support import JOBS, plain

FORGETFUL = """
import asyncio, sys
from ad_seller.storage import get_storage_backend
store = get_storage_backend("redis", redis_url=sys.argv[1])

async def main():
    await store.connect()
    await store.set("key", 1)
    calls = [asyncio.create_task(store.set(f"key{n}", "x" * 5000)) for n in range(200)]
    calls += [asyncio.create_task(store.incr("counter")) for n in range(20)]
    calls += [asyncio.create_task(store.keys()) for n in range(5)]
    await asyncio.sleep(float(sys.argv[2]))
    {end}

asyncio.run(main())
"""


def has_connections(url: str, at_most: int) -> bool:
    """Tell whether the server has, in a moment, so few; it notices a little later that one was closed."""
    deadline = time.monotonic() + 30
    with plain(url) as client:
        while (more := len(client.client_list()) - 1 > at_most) and time.monotonic() < deadline:
            time.sleep(0.01)
    return not more


@pytest.mark.parametrize("moment", [0, 0.2])
@pytest.mark.parametrize(("end", "code"), [("pass", 0), ("raise KeyError('of the application')", 1)])
def test_a_script_that_forgets_to_disconnect_ends(
    end: str, code: int, moment: float, own_redis: RedisServer
) -> None:
    done = run_code(FORGETFUL.replace("{end}", end), own_redis.url, moment, seconds=30)
    assert done.returncode == code
    lines = done.stderr.splitlines()
    assert [line for line in lines if "Exception" in line or "Warning" in line or "Fatal" in line] == []
    assert has_connections(own_redis.url, 0)


def test_event_loops_that_leave_without_disconnect_leave_no_connection(own_redis: RedisServer) -> None:
    store = RedisBackend(own_redis.url)

    async def use(number: int) -> None:
        if number == 0:
            await store.connect()
        await asyncio.gather(*(store.incr("counter") for _ in range(20)))
        await store.set("key", number)
        assert await store.get("key") == number
        assert await store.keys() == ["counter", "key"]  # by a connection of its own

    for run in (asyncio.run, uvloop.run):
        for number in range(5):
            run(use(number))
            assert has_connections(own_redis.url, 0)
    asyncio.run(store.disconnect())


@pytest.mark.filterwarnings("ignore:unclosed:ResourceWarning")  # that is what loops leave that nobody shut down
@pytest.mark.filterwarnings("ignore:loop is closed:ResourceWarning")
@pytest.mark.parametrize("new_loop", [asyncio.new_event_loop, uvloop.new_event_loop], ids=["asyncio", "uvloop"])
@pytest.mark.parametrize("end", ["closed", "stopped"])
def test_disconnect_ends_what_is_open_in_a_loop_that_does_not_run_any_more(
    new_loop: Callable[[], asyncio.AbstractEventLoop], end: str, own_redis: RedisServer
) -> None:
    store = RedisBackend(own_redis.url)

    async def use() -> None:
        await store.connect()
        await asyncio.gather(*(store.incr("counter") for _ in range(20)), store.keys())

    loop = new_loop()
    loop.run_until_complete(use())
    if end == "closed":
        loop.close()  # without shutdown_asyncgens, as asyncio.run would do
    asyncio.run(store.disconnect())
    assert has_connections(own_redis.url, 0)
    loop.close()
    gc.collect()


def test_a_forked_child_connects_anew_and_the_parent_goes_on(own_redis: RedisServer) -> None:
    run_job(JOBS, "fork_while_connected", own_redis.url)
    assert has_connections(own_redis.url, 0)


async def test_disconnect_waits_for_what_is_under_way(own_redis: RedisServer) -> None:
    store = RedisBackend(own_redis.url)
    for number in range(10):
        await store.connect()
        calls: list[Any] = [asyncio.create_task(store.incr("counter")) for _ in range(30)]
        calls += [asyncio.create_task(store.set(f"key:{number}", number)) for number in range(30)]
        calls += [asyncio.create_task(store.keys()), asyncio.create_task(store.publish("x", 1))]
        for _ in range(number % 4 + 1):
            await asyncio.sleep(0)
        await store.disconnect()
        await asyncio.gather(*calls)
    assert has_connections(own_redis.url, 0)
    async with store:
        assert await store.get("counter") == 300


async def _incr(store: StorageBackend, key: str) -> None:
    assert isinstance(store, RedisBackend)
    assert isinstance(await store.incr(f"counter:{key}"), int)


async def _publish(store: StorageBackend, key: str) -> None:
    assert isinstance(store, RedisBackend)
    assert await store.publish(key, 1) == 0


async def _stats(store: StorageBackend, key: str) -> None:
    assert isinstance(store, RedisBackend)
    assert "keyspace_hits" in await store.get_stats()


@pytest.mark.parametrize("connections_at_most", [2, 8])
async def test_ten_thousand_cancelled_operations(connections_at_most: int, own_redis: RedisServer) -> None:
    more: list[Operation] = [_incr, _incr, _publish, _stats]
    async with RedisBackend(own_redis.url, max_connections=connections_at_most) as store:
        await store.set("warm-up", 1)
        await asyncio.gather(*(store.incr("warm-up") for _ in range(50)))
        before = Holdings()
        for part in range(5):
            cancelled, ended = await cancel_at_random(store, 1000, seed=part, more=more)
            assert min(cancelled, ended) > 50
            await store.set("mine", value_of("mine", part))
            assert await store.get("mine") == value_of("mine", part)
            assert has_connections(own_redis.url, connections_at_most)
        # Every place in the pool is still there: as many slow calls as it has places run at the same time.
        await asyncio.wait_for(asyncio.gather(*(store.incr("last") for _ in range(200))), 60)
        await before.settle()
    assert has_connections(own_redis.url, 0)


async def test_a_hundred_cancelled_connects_leak_nothing(own_redis: RedisServer) -> None:
    chance = random.Random(3)
    with plain(own_redis.url) as client:
        client.ping()
        before = Holdings()
        connected = 0
        for number in range(100):
            store = RedisBackend(own_redis.url)
            connect = asyncio.create_task(store.connect())
            for _ in range(number % 8):
                await asyncio.sleep(0)
            if number % 3 == 0:
                await asyncio.sleep(chance.random() * 0.002)
            connect.cancel()
            await asyncio.gather(connect, return_exceptions=True)
            if not connect.cancelled():
                connected += 1
                assert await store.exists("key") is False
                await store.disconnect()
        assert connected < 100
        await before.settle()
    assert has_connections(own_redis.url, 0)


async def test_a_connect_that_is_cancelled_while_it_looks_at_the_server_leaks_nothing(
    own_redis: RedisServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """After the last connection was made, and before the caller knows that the store is open."""
    looking = asyncio.Event()

    async def doubts(self: RedisEngine) -> list[str]:
        looking.set()
        return [str(await self.router.ask("BLPOP", "nothing", "60"))]

    monkeypatch.setattr(RedisEngine, "doubts", doubts)
    store = RedisBackend(own_redis.url)
    connect = asyncio.create_task(store.connect())
    await looking.wait()
    connect.cancel()
    await asyncio.gather(connect, return_exceptions=True)
    assert has_connections(own_redis.url, 0)
    with pytest.raises(NotConnectedError):
        await store.get("a")
