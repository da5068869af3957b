"""Backends that somebody else writes: seven methods, however they are written down, atomic within the process."""

# ruff: noqa: PT012 - the end of a block raises here
from __future__ import annotations

import asyncio
import threading
import time
from typing import Any

import pytest

from ad_seller.storage import LeaseLostError, NotConnectedError, StorageBackend, StorageTimeoutError
from ad_seller.storage.redis_backend import RedisBackend
from ad_seller.storage.testing.servers import RedisServer

from .support import DictBackend, at_once


class Methods:
    """Seven methods of a class that knows nothing of ours."""

    connect, disconnect = DictBackend.connect, DictBackend.disconnect

    def __init__(self) -> None:
        self.entries: dict[str, Any] = {}

    async def get(self, key: str) -> Any:
        await asyncio.sleep(0)
        return self.entries.get(key)

    async def set(self, key: str, value: Any, ttl: Any = None) -> None:
        await asyncio.sleep(0)
        self.entries[key] = value

    async def delete(self, key: str) -> bool:
        await asyncio.sleep(0)
        return self.entries.pop(key, self) is not self

    async def exists(self, key: str) -> bool:
        return key in self.entries

    async def keys(self, pattern: str = "*") -> list[str]:
        return sorted(self.entries)


class FromMixin(Methods, StorageBackend):
    """The methods are inherited from beside the interface."""


class Inherited(DictBackend):
    """A subclass that changes `set` and calls the one above."""

    async def set(self, key: str, value: Any, ttl: Any = None) -> None:
        await asyncio.sleep(0)
        await super().set(key, value, ttl)


class Returning(DictBackend):
    """`set` is a plain function that returns an awaitable, as a decorator may make it."""

    def set(self, key: str, value: Any, ttl: Any = None) -> Any:
        return super().set(key, value, ttl)


@pytest.mark.parametrize("kind", [DictBackend, FromMixin, Inherited, Returning])
async def test_a_plain_set_is_not_lost_under_an_update(kind: type[StorageBackend]) -> None:
    async with kind() as storage:
        for turns in range(30):
            await storage.set("k", 0)

            async def write(turns: int = turns) -> None:
                for _ in range(turns):
                    await asyncio.sleep(0)
                await storage.set("k", 100)

            await asyncio.gather(storage.update("k", lambda n: n + 1), write())
            assert await storage.get("k") in (100, 101), f"set after {turns} turns"
        assert storage.capabilities.atomic == "process"


async def test_locks_are_by_key() -> None:
    """A slow write of one key does not hold up another key, nor the reading of any."""

    begun, go_on = asyncio.Event(), asyncio.Event()

    class Slow(DictBackend):
        async def set(self, key: str, value: Any, ttl: Any = None) -> None:
            if key == "slow":
                begun.set()
                await go_on.wait()
            await super().set(key, value, ttl)

    async with Slow() as storage:
        slow = asyncio.create_task(storage.update("slow", lambda _: 1))
        await begun.wait()
        async with asyncio.timeout(20):
            await storage.update("fast", lambda _: 1)
            assert await storage.get("slow") is None
        go_on.set()
        assert await slow == 1


async def test_a_commit_that_fails_half_way_is_undone() -> None:
    class Failing(DictBackend):
        async def set(self, key: str, value: Any, ttl: Any = None) -> None:
            if value == "fail":
                raise OSError("no space left")
            await super().set(key, value, ttl)

    async with Failing() as storage:
        await storage.set("a", 1, ttl=60)
        await storage.set("c", 1)
        with pytest.raises(OSError, match="no space"):
            async with storage.transaction() as tx:
                await tx.set("a", 2)
                await tx.set("b", 2)
                await tx.delete("c")
                await tx.set("d", "fail")
        assert await storage.scan() == ([("a", 1), ("c", 1)], None)
        assert 50 < (await storage.ttl("a") or 0) <= 60


async def test_a_store_that_fails_loses_the_lease() -> None:
    class Breaking(DictBackend):
        broken = False

        async def get(self, key: str) -> Any:
            if self.broken:
                raise OSError("gone")
            return await super().get(key)

    async with Breaking() as storage:
        with pytest.raises(LeaseLostError):
            async with storage.lease("x", 0.2):
                storage.broken = True
                await asyncio.sleep(5)


def test_a_second_event_loop_is_refused_or_exact() -> None:
    """Locks of one event loop mean nothing in another one, so two at once may not both go on in silence."""
    storage = DictBackend()
    answers: list[int | NotConnectedError] = []

    def count() -> None:
        async def increments() -> None:
            for _ in range(200):
                try:
                    answers.append(await storage.increment("n"))
                except NotConnectedError as error:
                    answers.append(error)

        asyncio.run(increments())

    threads = [threading.Thread(target=count) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    counted = [answer for answer in answers if isinstance(answer, int)]
    assert asyncio.run(storage.get("n")) == len(counted) == len(set(counted))


async def test_a_queue_of_updates_times_out_together(own_redis: RedisServer) -> None:
    """Those who wait for their turn at one key have no time-out each, one after the other."""
    async with RedisBackend(own_redis.url, timeout=0.6) as storage:
        await storage.set("n", 0)
        own_redis.freeze()
        began = time.monotonic()
        results, errors = await at_once(*(storage.increment("n") for _ in range(16)))
        assert time.monotonic() - began < 6  # of 9.6, were it one after the other
        assert (results, {type(error) for error in errors}) == ([], {StorageTimeoutError})
        own_redis.thaw()
        assert await storage.increment("n") == 1


class Unsorted(DictBackend):
    """`keys` as somebody may write it: in the order of storing, one of them twice."""

    async def keys(self, pattern: str = "*") -> list[str]:
        found = sorted(await super().keys(pattern), key=list(self.entries).index)
        return [*found, *found[:1]]


async def test_pages_of_keys_that_come_in_any_order() -> None:
    """Else entries are passed by, and who follows a log misses some."""
    async with Unsorted() as storage:
        await storage.set_many({f"event:{n * 7 % 10}": n for n in range(10)})
        expected = [f"event:{n}" for n in range(10)]
        for reverse in (False, True):
            for size in (1, 3, 10, 20):
                found = [key async for key, _ in storage.iterate("event:*", page_size=size, reverse=reverse)]
                assert found == (expected[::-1] if reverse else expected)
