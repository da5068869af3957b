"""What the server keeps for instances that listen is bounded, whatever becomes of them."""

from __future__ import annotations

import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from ad_seller.storage import StoreUnavailableError
from ad_seller.storage.redis import listener, news
from ad_seller.storage.redis_backend import RedisBackend
from ad_seller.storage.testing.servers import RedisServer
from tests import warm

from .support import plain

LISTENER = """
import asyncio, sys
from ad_seller.storage.redis_backend import RedisBackend

async def main():
    async with RedisBackend(sys.argv[1]) as store:
        await store.keys()
        print("listens", flush=True)
        await asyncio.to_thread(sys.stdin.readline)
        print(len(await store.keys("x*")), flush=True)

asyncio.run(main())
"""


@contextmanager
def stopped(url: str) -> Iterator[Any]:
    """An instance that has listed, and whose process is stopped then."""
    with warm.Popen(
        [sys.executable, "-c", LISTENER, url], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        try:
            assert process.stdout is not None
            assert process.stdout.readline() == "listens\n"
            process.send_signal(signal.SIGSTOP)
            yield process
        finally:
            process.kill()


def kept_for_listeners(url: str) -> int:
    """Return the bytes that wait for the listener that has most of them."""
    with plain(url) as client:
        return max([int(one["omem"]) for one in client.client_list() if one["name"] == listener.NAME], default=0)


async def write_much(store: RedisBackend, rounds: int) -> None:
    """Make about a megabyte of news in each round, of entries that stay the same size."""
    for number in range(rounds):
        await store.set_many({f"x{n:01000}": number for n in range(1000)})


async def test_others_end_a_listener_that_does_not_read(own_redis: RedisServer) -> None:
    with stopped(own_redis.url) as process:
        async with RedisBackend(own_redis.url) as store:
            await write_much(store, 16)
            assert kept_for_listeners(own_redis.url) > listener.BEHIND
            await store._sweep_all()
            assert kept_for_listeners(own_redis.url) <= listener.BEHIND
            process.send_signal(signal.SIGCONT)
            assert process.communicate("\n", timeout=20)[0] == "1000\n", "it looks again, and lists right"


async def test_the_server_itself_does_not_keep_more_than_for_a_subscriber(own_redis: RedisServer) -> None:
    with stopped(own_redis.url):
        async with RedisBackend(own_redis.url, sweep_interval=None) as store:
            await write_much(store, 45)
            assert kept_for_listeners(own_redis.url) < 34 * 1024 * 1024


async def test_short_of_memory_silent_listeners_go_first(own_redis: RedisServer) -> None:
    async with RedisBackend(own_redis.url) as store:
        with stopped(own_redis.url), plain(own_redis.url) as client:
            await write_much(store, 16)
            client.config_set("maxmemory-policy", "noeviction")
            client.config_set("maxmemory", client.info("memory")["used_memory"] - 4_000_000)
            with pytest.raises(StoreUnavailableError, match="out of memory"):
                await store.set("a", 1)
            await store.set("a", 1)


async def test_who_does_not_list_any_more_stops_listening(
    own_redis: RedisServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(news, "_MANY", 500)
    monkeypatch.setattr(news, "_FEW", 500)

    def listening() -> int:
        with plain(own_redis.url) as client:
            return sum(one["name"] == listener.NAME for one in client.client_list())

    async with RedisBackend(own_redis.url) as store, RedisBackend(own_redis.url) as other:
        assert await store.keys() == []
        for number in range(200):
            await other.set(f"k{number:03}", 1)
        assert listening() == 1
        assert await store.count() == 200
        for number in range(1000):
            await other.set(f"k{number % 200:03}", 2)
        assert await store.get("k000") == 2  # a turn in which it hears
        assert listening() == 0
        with plain(own_redis.url) as client:
            client.set("ad_seller:foreign", "1")
        assert await store.count() == 201
        assert listening() == 1
