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
from ad_seller.storage.redis import listener, news, surveys
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


def listening(url: str) -> int:
    """Return how many instances are told of changes."""
    with plain(url) as client:
        return sum(one["name"] == listener.NAME for one in client.client_list())


async def scanned(store: RedisBackend, pattern: str) -> list[str]:
    return [key for key, _ in (await store.scan(pattern)).items]


async def write_singly(store: RedisBackend, other: RedisBackend, writes: int, kind: str = "") -> None:
    """Have the server tell ``store`` something so often, and wait until it was told."""
    for number in range(writes):
        await other.set(f"{kind}k{number % 100:03}", number)
    assert await store.get(f"{kind}k000") is not None  # a turn in which it hears


async def test_who_does_not_list_any_more_stops_listening(own_redis: RedisServer) -> None:
    async with RedisBackend(own_redis.url) as store, RedisBackend(own_redis.url) as other:
        assert await store.keys() == []
        await write_singly(store, other, news._FEWEST // 2)
        assert listening(own_redis.url) == 1
        assert await store.count() == 50
        await write_singly(store, other, 2 * news._FEWEST)
        assert listening(own_redis.url) == 0


async def test_among_few_keys_and_many_writes_listings_look_themselves(own_redis: RedisServer) -> None:
    """The more of them the longer it goes on, in one script each; what other programs write is in them."""
    async with RedisBackend(own_redis.url) as store, RedisBackend(own_redis.url) as other:
        found: list[int] = []
        with plain(own_redis.url) as client:
            for number in range(20):
                client.set(f"ad_seller:foreign:n{number:02}", "1")
                client.delete(f"ad_seller:foreign:n{number - 1:02}")
                ask = store.keys("foreign:n*") if number % 2 else scanned(store, "foreign:n*")
                assert await ask == [f"foreign:n{number:02}"]
                found.append(listening(own_redis.url))
                await write_singly(store, other, 2 * news._FEWEST, "foreign:")
        assert found == [1, 0, 1, 0, 0, 1, *4 * [0], 1, *8 * [0], 1]


async def test_among_many_keys_listings_go_on_being_told(
    own_redis: RedisServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(news, "_FEW", 500)
    monkeypatch.setattr(news, "_MANY", 500)
    async with RedisBackend(own_redis.url) as store, RedisBackend(own_redis.url) as other:
        await other.set_many({f"many:{number:04}": 1 for number in range(surveys.MOST_KEYS)})
        assert await store.count() == surveys.MOST_KEYS
        await write_singly(store, other, 1)
        for _ in range(2):
            await write_singly(store, other, 200)
            assert await store.count("many:*") == surveys.MOST_KEYS
            assert listening(own_redis.url) == 1


async def test_what_no_script_can_look_at_is_listed_by_who_is_told(
    own_redis: RedisServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Too many keys, names that only Python can judge, an index that holds too much of what is gone."""
    monkeypatch.setattr(news.News, "do_without", lambda self: True)
    many = {f"many:{number:04}": 1 for number in range(surveys.MOST_KEYS + 1)}
    async with RedisBackend(own_redis.url) as other:
        await other.set("one", 1)
        with plain(own_redis.url) as client:
            for spoil, keys, told in (
                (lambda: client.set("ad_seller:zwölf", "1"), ["one", "zwölf"], True),
                (lambda: None, ["one", "zwölf"], False),
                (lambda: client.mset({f"ad_seller:{key}": 1 for key in many}), [*many, "one", "zwölf"], True),
                (lambda: client.delete(*(f"ad_seller:{key}" for key in many)), ["one", "zwölf"], True),
            ):
                spoil()
                async with RedisBackend(own_redis.url) as store:
                    assert await store.keys() == keys
                    assert store.stats().index_trusted is told
                    assert await scanned(store, "*") == keys
