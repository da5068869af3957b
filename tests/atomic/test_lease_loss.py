"""A lease that is lost is told to its holder, and nothing else is mixed up by that."""

# ruff: noqa: PT012 - the end of a block raises here
from __future__ import annotations

import asyncio
import contextlib
import time

import pytest

from ad_seller.storage import LeaseLostError, StorageBackend, StorageTimeoutError
from ad_seller.storage.redis_backend import RedisBackend
from ad_seller.storage.testing.servers import RedisServer

from .support import renewed
from .test_lease import KEY, NAME, take_away


def cancelling() -> int:
    """How many cancellations of this task are under way."""
    task = asyncio.current_task()
    assert task is not None
    return task.cancelling()


class TestLosing:
    async def test_cancels_the_block_and_says_why(self, backend: StorageBackend) -> None:
        began = time.monotonic()
        with pytest.raises(LeaseLostError, match=NAME):
            async with backend.lease(NAME, 0.2) as lease:
                await take_away(backend, lease)
                await asyncio.sleep(10)
        assert time.monotonic() - began < 5
        assert not lease.held
        assert cancelling() == 0
        async with asyncio.timeout(20):
            await backend.set("k", 1)

    async def test_does_not_take_it_from_the_next_holder(self, backend: StorageBackend) -> None:
        with pytest.raises(LeaseLostError):
            async with backend.lease(NAME, 0.2) as lease:
                await take_away(backend, lease)
                next_holder = asyncio.create_task(backend.lease(NAME, 60).__aenter__())
                await asyncio.sleep(10)
        await next_holder
        assert await backend.exists(KEY)

    async def test_a_block_that_never_awaits_is_told_at_its_end(self, backend: StorageBackend) -> None:
        with pytest.raises(LeaseLostError):
            async with backend.lease(NAME, 0.05) as lease:
                time.sleep(0.1)
                assert not lease.held
                with pytest.raises(LeaseLostError):
                    lease.check()

    async def test_a_block_that_swallows_the_cancellation_is_told(self, backend: StorageBackend) -> None:
        with pytest.raises(LeaseLostError):
            async with backend.lease(NAME, 0.6) as lease:
                await take_away(backend, lease)
                with contextlib.suppress(asyncio.CancelledError):
                    await asyncio.sleep(5)
        assert cancelling() == 0

    async def test_an_exception_of_the_block_stays_and_gets_a_note(self, backend: StorageBackend) -> None:
        with pytest.raises(ZeroDivisionError) as raised:
            async with backend.lease(NAME, 0.6) as lease:
                await take_away(backend, lease)
                try:
                    await asyncio.sleep(5)
                finally:
                    _ = 1 // 0
        assert NAME in raised.value.__notes__[0]
        assert cancelling() == 0

    async def test_the_users_own_cancellation_is_not_swallowed(self, backend: StorageBackend) -> None:
        held = asyncio.Event()

        async def use(lost: bool) -> None:
            async with backend.lease(NAME, 60) as lease:
                if lost:
                    await take_away(backend, lease)
                held.set()
                await asyncio.sleep(5)

        for lost in (False, True):
            held.clear()
            task = asyncio.create_task(use(lost))
            await held.wait()
            task.cancel()
            await asyncio.wait([task])
            assert task.cancelled()
            assert not await backend.exists(KEY)

    async def test_a_timeout_inside_and_outside_still_works(self, backend: StorageBackend) -> None:
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.05), backend.lease(NAME, 5):
                await asyncio.sleep(5)
        async with backend.lease(NAME, 5):
            with pytest.raises(TimeoutError):
                async with asyncio.timeout(0.05):
                    await asyncio.sleep(5)
        with pytest.raises(LeaseLostError):
            async with asyncio.timeout(20), backend.lease(NAME, 0.6) as lease, asyncio.TaskGroup() as group:
                group.create_task(asyncio.sleep(5))
                await take_away(backend, lease)

    async def test_an_unreachable_store_loses_it_in_time(self, own_redis: RedisServer) -> None:
        async with RedisBackend(own_redis.url, timeout=1) as storage:
            began = time.monotonic()
            with pytest.raises(LeaseLostError):
                async with storage.lease(NAME, 0.5):
                    own_redis.freeze()
                    await asyncio.sleep(10)
            assert time.monotonic() - began < 6
            own_redis.thaw()

    async def test_a_short_outage_does_not(self, own_redis: RedisServer) -> None:
        async with RedisBackend(own_redis.url, timeout=0.4) as storage:
            async with storage.lease(NAME, 3) as lease:
                own_redis.freeze()
                await asyncio.sleep(1.6)  # the first of three renewals fails
                own_redis.thaw()
                await renewed(storage, KEY)
                assert lease.held
            assert not await storage.exists(KEY)


async def test_a_failed_give_up_does_not_hide_what_happened(own_redis: RedisServer) -> None:
    async with RedisBackend(own_redis.url, timeout=0.5) as storage:
        with pytest.raises(ZeroDivisionError):
            async with storage.lease(NAME, 30):
                own_redis.freeze()
                _ = 1 // 0
        with pytest.raises(StorageTimeoutError):
            async with storage.lease(NAME, 30):
                pass
        own_redis.thaw()
