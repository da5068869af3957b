"""The connection is cut after a write was sent: the caller is told so, and nothing is applied twice."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from ad_seller.storage import UnknownOutcomeError
from ad_seller.storage.redis.scripts import COMMITS
from ad_seller.storage.redis_backend import RedisBackend
from ad_seller.storage.testing.servers import RedisServer
from tests.proxy import Proxy

from .support import TOLERANCE, calls, plain

Write = Callable[[RedisBackend], Awaitable[Any]]

WRITES: dict[str, tuple[Write, bytes]] = {
    "set": (lambda store: store.set("key", "new"), b"EVALSHA"),
    "set_many": (lambda store: store.set_many({"key": "new", "other": 1}), b"EVALSHA"),
    "delete": (lambda store: store.delete("other"), b"EVALSHA"),
    "expire": (lambda store: store.expire("key", 60), b"EVALSHA"),
    "increment": (lambda store: store.increment("counter"), b"EVALSHA"),
    "update": (lambda store: store.update("counter", lambda current: current + 1), b"EVALSHA"),
    "incr": (lambda store: store.incr("counter"), b"EVALSHA"),
    "publish": (lambda store: store.publish("news", {"n": 1}), b"PUBLISH"),
    "index": (lambda store: store.add_session_to_buyer_index("s-1", "acme"), COMMITS.sha.encode()),
}


@pytest.mark.parametrize("name", WRITES)
async def test_a_write_whose_answer_is_lost(name: str, own_redis: RedisServer, proxy: Proxy) -> None:
    write, command = WRITES[name]
    async with RedisBackend(f"redis://127.0.0.1:{proxy.port}", timeout=2) as store:
        await store.set_many({"key": "old", "other": 1, "counter": 10})
        await store.incr("warm-up")  # so that the server knows the scripts
        await store.delete("warm-up")
        await store.exists("warm-up")
        with plain(own_redis.url) as client:
            client.config_resetstat()
        proxy.lose = command
        with pytest.raises(UnknownOutcomeError, match="may or may not have been applied") as caught:
            await asyncio.wait_for(write(store), 2 + TOLERANCE)
        assert isinstance(caught.value, ConnectionError)
        assert caught.value.__cause__ is not None
        assert caught.value.key in {"key", "other", "counter", "news", "session_index:buyer:acme"}
        assert proxy.lost == 1
        sent = calls(own_redis.url)
        looks = 2 if name == "index" else 0  # whether the sessions are there, before and after
        assert 1 <= sent.get("evalsha", 0) + sent.get("publish", 0) <= 1 + looks
        assert "eval" not in sent
        proxy.lose = None
        counter = await store.get("counter")
        assert counter == (11 if "counter" in str(caught.value.key) else 10)
        assert await store.incr("counter") == counter + 1
        assert proxy.lost == 1


@pytest.mark.parametrize("read", ["get", "exists", "keys", "get_stats"])
async def test_a_read_whose_answer_is_lost_is_asked_again(read: str, proxy: Proxy) -> None:
    command = {"get": b"MGET", "exists": b"EVALSHA", "keys": b"SCAN", "get_stats": b"INFO"}[read]
    async with RedisBackend(f"redis://127.0.0.1:{proxy.port}", timeout=2) as store:
        await store.set("key", 1)
        proxy.lose_once(command)
        reads: dict[str, Write] = {
            "get": lambda store: store.get("key"),
            "exists": lambda store: store.exists("key"),
            "keys": lambda store: store.keys(),
            "get_stats": lambda store: store.get_stats(),
        }
        assert await asyncio.wait_for(reads[read](store), 2 + TOLERANCE)
        assert proxy.lost == 1


async def test_everybody_in_the_lost_batch_is_told(proxy: Proxy) -> None:
    async with RedisBackend(f"redis://127.0.0.1:{proxy.port}", timeout=2) as store:
        await store.set("key", 0)
        proxy.lose = b"EVALSHA"
        writes = (store.set(f"key:{number}", number) for number in range(50))
        errors = await asyncio.gather(*writes, return_exceptions=True)
        for number, error in enumerate(errors):
            assert isinstance(error, UnknownOutcomeError)
            assert error.key == f"key:{number}"
        assert len({id(error) for error in errors}) == 50
        proxy.lose = None
        assert await store.count("key:*") == 50
