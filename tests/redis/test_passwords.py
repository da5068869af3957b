"""A password from a function is asked for at each new connection; what goes wrong with it is said."""

from __future__ import annotations

import asyncio
import copy
from pathlib import Path
from typing import Any

import pytest

from ad_seller.storage import ConfigurationError, StorageConnectionError, StorageTimeoutError
from ad_seller.storage.hybrid_backend import HybridBackend
from ad_seller.storage.memory_backend import MemoryBackend
from ad_seller.storage.redis_backend import RedisBackend
from ad_seller.storage.testing.servers import RedisServer
from tests.redis.support import plain


async def test_a_password_that_changes(tmp_path: Path) -> None:
    now, asked = "first secret", 0

    async def password() -> str:
        nonlocal asked
        asked += 1
        return now

    with RedisServer(tmp_path, password=now) as server, plain(server.url) as admin:
        url = f"redis://:an-older-one@127.0.0.1:{server.port}/0"
        async with HybridBackend(MemoryBackend(), RedisBackend(url, password=password)) as storage:
            await storage.set("session:a", 1)
            assert await storage.keys() == ["session:a"]  # over a connection of its own
            before = asked
            assert before >= 2
            now = "second secret"
            admin.config_set("requirepass", now)
            admin.client_kill_filter(_type="normal", skipme=True)
            admin.client_kill_filter(_type="pubsub")
            assert await storage.get("session:a") == 1
            assert await storage.keys() == ["session:a"]
            assert asked > before
        async with RedisBackend(url, password=now) as told, copy.copy(told) as other:
            assert await other.exists("session:a")
            assert "secret" not in repr((told, told._settings))
        async with RedisBackend(url, password=lambda: "second secret") as asking:
            assert await asking.exists("session:a")
        with pytest.raises(StorageConnectionError, match="refused the login"):
            await RedisBackend(url, password=lambda: "first secret").connect()


@pytest.mark.parametrize("answer", [None, "", 5, ValueError("secret")])
async def test_a_function_without_an_answer(redis_url: str, answer: object) -> None:
    broken = False

    def password() -> Any:
        if broken and isinstance(answer, Exception):
            raise answer
        return answer if broken else "ignored"

    storage = RedisBackend(redis_url.replace("redis://", "redis://nobody@"), password=password)
    broken = True
    with pytest.raises(StorageConnectionError, match=r"function for the password r.* must return") as caught:
        await storage.connect()
    assert "secret" not in str(caught.value)


async def test_no_text_at_a_reconnect(tmp_path: Path) -> None:
    """What is raised before anything is sent leaves no doubt: nothing was written."""
    now = "a secret"
    with RedisServer(tmp_path, password=now) as server, plain(server.url) as admin:
        url = f"redis://127.0.0.1:{server.port}/0"
        async with RedisBackend(url, password=lambda: now, timeout=2) as storage:
            await storage.set("a", 1)
            now = "no text: \udc80"
            admin.client_kill_filter(_type="normal", skipme=True)
            for write in (storage.set("a", 2), storage.increment("n"), storage.delete("a")):
                with pytest.raises((StorageConnectionError, StorageTimeoutError)) as told:
                    await write
                assert "may or may not" not in str(told.value)
                assert "secret" not in str(told.value)


async def test_a_function_that_hangs(tmp_path: Path) -> None:
    hangs = False

    async def password() -> str:
        await asyncio.sleep(60 if hangs else 0)
        return "right secret"

    with RedisServer(tmp_path, password="right secret") as server:
        async with RedisBackend(server.url, timeout=1, password=password) as storage:
            await storage.set("a", 1)
            hangs = True
            with plain(server.url) as admin:
                admin.client_kill_filter(_type="normal", skipme=True)
            for call in (storage.get("a"), storage.set("a", 2), storage.keys()):
                with pytest.raises(StorageTimeoutError, match="function for the password did not return"):
                    await call
            hangs = False
            assert await storage.get("a") == 1


def test_what_is_neither_text_nor_function() -> None:
    with pytest.raises(ConfigurationError, match="password is a str or a function"):
        RedisBackend("redis://h", password=5)  # type: ignore[arg-type]
