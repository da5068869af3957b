"""Servers that answer, and refuse: out of memory, read-only, loading, a script that was forgotten."""

from __future__ import annotations

import asyncio

import pytest

from ad_seller.storage import (
    StorageConnectionError,
    StorageTimeoutError,
    StoreUnavailableError,
)
from ad_seller.storage.redis_backend import RedisBackend
from ad_seller.storage.testing.servers import RedisServer

from .support import TOLERANCE, answering, calls, free_port, plain, timed


async def test_a_script_that_the_server_forgot(own_redis: RedisServer, own_store: RedisBackend) -> None:
    await own_store.set("key", 0)
    with plain(own_redis.url) as client:
        for number in range(5):
            client.script_flush()
            await asyncio.gather(
                own_store.set("key", number), own_store.set("other", number), own_store.exists("key")
            )
            assert await own_store.get_many(["key", "other"]) == {"key": number, "other": number}
            client.script_flush()
            assert await own_store.increment("counter") == number + 1
            client.script_flush()
            assert await own_store.ttl("key") is None


async def test_out_of_memory(own_redis: RedisServer, own_store: RedisBackend) -> None:
    await own_store.set_many({"old": "intact", "counter": 5})
    with plain(own_redis.url) as client:
        client.config_set("maxmemory-policy", "noeviction")
        await own_store.set_many({f"fill:{number}": "x" * 100_000 for number in range(10)})
        client.config_set("maxmemory", client.info("memory")["used_memory"] - 500_000)
        failing = (
            lambda: own_store.set("old", "new"),
            lambda: own_store.set_many({"old": "new", "new": 1}),
            lambda: own_store.create("new", 1),
            lambda: own_store.update("old", lambda current: "new"),
            lambda: own_store.incr("counter"),
        )
        for call in failing:
            with pytest.raises(StoreUnavailableError, match=r"out of memory.*maxmemory") as caught:
                await call()
            assert caught.value.key in {"old", "new", "counter"}
        assert await own_store.get_many(["old", "new", "counter"]) == {"old": "intact", "counter": 5}
        assert await own_store.delete("fill:0")  # making room is possible
        client.config_set("maxmemory", 0)
        await own_store.set("old", "new")
        assert await own_store.incr("counter") == 6


async def test_a_read_only_replica(own_redis: RedisServer, own_store: RedisBackend) -> None:
    await own_store.set("key", "old")
    with plain(own_redis.url) as client:
        client.execute_command("REPLICAOF", "127.0.0.1", free_port())
        try:
            for call in (
                lambda: own_store.set("key", "new"),
                lambda: own_store.delete("key"),
                lambda: own_store.update("key", lambda current: "new"),
                lambda: own_store.expire("key", 60),
                lambda: own_store.incr("counter"),
            ):
                with pytest.raises(StoreUnavailableError, match=r"read-only replica"):
                    await call()
            assert await own_store.get("key") == "old"
            assert await own_store.keys() == ["key"]
            assert await own_store.ttl("key") is None
        finally:
            client.execute_command("REPLICAOF", "NO", "ONE")
    await own_store.set("key", "new")


@pytest.mark.parametrize("answer", [b"-LOADING Redis is loading the dataset in memory\r\n", b"-NOPERM no\r\n"])
async def test_a_refusal_is_no_unknown_outcome(answer: bytes) -> None:
    async with (
        answering(answer, to=b"EVALSHA") as port,
        RedisBackend(f"redis://127.0.0.1:{port}", timeout=1) as store,
    ):
        error, seconds = await timed(store.set("key", 1))
    assert isinstance(error, StorageConnectionError | StoreUnavailableError | StorageTimeoutError), repr(error)
    assert seconds < 1 + TOLERANCE


async def test_a_server_that_is_loading_answers_later(own_redis: RedisServer, own_store: RedisBackend) -> None:
    """Nothing is asked twice in a way that counts twice."""
    await own_store.increment("counter")
    with plain(own_redis.url) as client:
        client.config_resetstat()
    assert await own_store.increment("counter") == 2
    assert sum(calls(own_redis.url).values()) <= 6
