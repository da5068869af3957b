"""A disk without room: what is refused was not written, what is unclear is called so, and all goes on later."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

import pytest

from ad_seller.storage import StorageError, StoreUnavailableError, UnknownOutcomeError
from ad_seller.storage.redis_backend import RedisBackend
from ad_seller.storage.testing.servers import RedisServer
from tests.full_disk import end_of_log, limit_files

from .support import plain


async def refused(call: Callable[[], Awaitable[object]]) -> StorageError:
    """Call until it is refused; the server notices the full disk after a write that it took."""
    for _ in range(3000):
        try:
            await call()
        except StorageError as error:
            return error
        await asyncio.sleep(0.01)
    raise AssertionError("never refused")


async def accepted(call: Callable[[], Awaitable[object]]) -> None:
    """Call until it works: the server tries its disk again once a second."""
    async with asyncio.timeout(30):
        while True:
            try:
                await call()
            except StoreUnavailableError:
                await asyncio.sleep(0.05)
            else:
                return


async def test_writes_are_refused_and_reads_go_on(own_redis: RedisServer, own_store: RedisBackend) -> None:
    """Where acknowledged means in memory (`appendfsync everysec`), Redis lives on."""
    with plain(own_redis.url) as client:
        client.config_set("appendfsync", "everysec")
    await own_store.set_many({"old": "intact", "counter": 5})
    limit_files(own_redis, end_of_log(own_redis))
    assert isinstance(await refused(lambda: own_store.set("fill", 1)), StoreUnavailableError)
    failing = (
        lambda: own_store.set("old", "new"),
        lambda: own_store.set_many({"old": "new", "new": 1}),
        lambda: own_store.delete("old"),
        lambda: own_store.create("new", 1),
        lambda: own_store.update("old", lambda current: "new"),
        lambda: own_store.incr("counter"),
    )
    for call in failing:
        with pytest.raises(StoreUnavailableError, match=r"MISCONF.*wrote nothing.*disk"):
            await call()
    assert await own_store.get_many(["old", "new", "counter"]) == {"old": "intact", "counter": 5}
    limit_files(own_redis)
    await accepted(lambda: own_store.set("new", 1))
    assert await own_store.incr("counter") == 6


@pytest.mark.parametrize("room", [0, 50, 3000])
async def test_a_server_that_may_not_lose_anything_ends(
    own_redis: RedisServer, own_store: RedisBackend, room: int
) -> None:
    """With `appendfsync always` it cannot go on; in the middle of a record, too. What it confirmed is there."""
    await own_store.set_many({"old": "intact", "counter": 5})
    limit_files(own_redis, end_of_log(own_redis) + room)
    error = await refused(lambda: own_store.set_many({"old": "x" * 3000, "new": 1}))
    assert isinstance(error, UnknownOutcomeError)
    own_redis.restart()
    found = await own_store.get_many(["old", "new"])
    assert found in ({"old": "intact"}, {"old": "x" * 3000, "new": 1})
    assert await own_store.incr("counter") == 6
