"""Pages that are stored on Redis: what is new by transactions, all else by a script."""

from __future__ import annotations

import time

import pytest

from ad_seller.storage import StoreUnavailableError
from ad_seller.storage.driver.transfer import StoredEntry
from ad_seller.storage.redis_backend import RedisBackend
from ad_seller.storage.testing.servers import RedisServer

from .support import plain

_MANY = 2_500


def page() -> list[StoredEntry]:
    deadline = int(time.time() * 1000) + 600_000
    return [StoredEntry(f"deal:{n:05}", b"%d" % n, None if n % 3 else deadline) for n in range(_MANY)]


def calls_of(url: str) -> dict[str, int]:
    with plain(url) as client:
        told = client.info("commandstats")
    return {name: told.get(f"cmdstat_{name}", {"calls": 0})["calls"] for name in ("msetnx", "evalsha", "zadd")}


@pytest.mark.parametrize("there", [[], ["deal:00001"], ["deal:00003"], ["deal:00001", "deal:00003"]])
async def test_what_is_new_needs_no_script(own_redis: RedisServer, there: list[str]) -> None:
    async with RedisBackend(own_redis.url) as store:
        for key in there:
            await store.set(key, "there")
        before = calls_of(own_redis.url)
        entries = page()
        said = await store._store_entries(entries, [None] * _MANY)
        after = calls_of(own_redis.url)
        assert said == [entry.key not in there for entry in entries]
        assert after["msetnx"] > before["msetnx"]
        assert (after["evalsha"] > before["evalsha"]) == ("deal:00001" in there)
        assert await store.keys() == [entry.key for entry in entries]  # by the index
        found = {entry[:2] for part in [await store._entries_at(await store.keys())] for entry in part}
        assert found == {(key, b'"there"' if key in there else text) for key, text, _ in entries}
        left = await store.ttl("deal:00006")
        assert left is not None
        assert 500 < left <= 600
        assert await store._store_entries(entries, [None] * _MANY) == [False] * _MANY


@pytest.mark.parametrize("forbidden", ["multi", "exec", "msetnx", "set", "zadd"])
async def test_who_may_not_transact(own_redis: RedisServer, forbidden: str) -> None:
    """What is stored is told as stored: nothing of a transaction is done if a part of it is refused."""
    with plain(own_redis.url) as client:
        rules = ["on", ">pw", "+@all", f"-{forbidden}", "~*", "&*"]
        client.execute_command("ACL", "SETUSER", "agent", "reset", *rules)
    async with RedisBackend(own_redis.url.replace("redis://", "redis://agent:pw@")) as store:
        if forbidden == "set":
            with pytest.raises(StoreUnavailableError, match="the user may not do this"):
                await store._store_entries(page(), [None] * _MANY)
            return
        assert await store._store_entries(page(), [None] * _MANY) == [True] * _MANY
        assert await store.count() == _MANY
    assert calls_of(own_redis.url)["msetnx"] == 0


async def test_a_full_server_says_so(own_redis: RedisServer) -> None:
    async with RedisBackend(own_redis.url) as store:
        await store.set("deal:1", 1)
        with plain(own_redis.url) as client:
            client.config_set("maxmemory", "1000")
        with pytest.raises(StoreUnavailableError, match="out of memory"):
            await store._store_entries(page(), [None] * _MANY)
        assert await store.keys() == ["deal:1"]
