"""Writes of one moment that the server judges differently: each caller hears of its own, as if it were alone."""

from __future__ import annotations

import asyncio
import re
from typing import Any

import pytest

from ad_seller.storage import StoreUnavailableError, UnknownOutcomeError
from ad_seller.storage.driver.transfer import StoredEntry
from ad_seller.storage.redis_backend import RedisBackend
from ad_seller.storage.testing.servers import RedisServer
from tests.docs_samples import ROOT
from tests.groups import check_recorded_day

from .support import plain


@pytest.mark.parametrize("first", ["set", "delete", "transaction"])
async def test_out_of_memory_a_delete_beside_a_set(first: str, own_redis: RedisServer) -> None:
    async with RedisBackend(own_redis.url) as store:
        await store.set_many({f"old:{number}": "x" * 1000 for number in range(40)})
        await store.keys()
        with plain(own_redis.url) as client:
            client.config_set("maxmemory-policy", "noeviction")
            client.config_set("maxmemory", 1)

        async def write(number: int) -> Any:
            if first == "transaction":
                async with store.transaction() as tx:
                    await tx.set(f"new:{number}", 1)
                    await tx.delete(f"old:{20 + number}")
            return await store.set(f"new:{number}", 1)

        for number in range(20):
            calls = [store.delete(f"old:{number}"), write(number)]
            if first != "delete":
                calls.reverse()
            told = await asyncio.gather(*calls, return_exceptions=True)
            deleted, written = told if first == "delete" else reversed(told)
            assert deleted is True
            assert not await store.exists(f"old:{number}")
            assert await store.exists(f"new:{number}") == (written is None)
            if written is not None:
                assert isinstance(written, StoreUnavailableError)
                assert "out of memory" in str(written)
                assert await store.exists(f"old:{20 + number}")


@pytest.mark.parametrize("kept", [False, True], ids=["sets", "sets and deletes"])
async def test_an_allowed_write_beside_a_forbidden_one(kept: bool, own_redis: RedisServer) -> None:
    with plain(own_redis.url) as client:
        rules = ["on", ">pw", "+@all", "~ad_seller:mine:*", "~ad_seller:?index", "&*"]
        client.execute_command("ACL", "SETUSER", "agent", "reset", *rules)
        client.set("ad_seller:theirs", "1")
    url = own_redis.url.replace("redis://", "redis://agent:pw@")
    async with RedisBackend(url) as store:
        calls: list[Any] = [store.set("mine:1", 1), store.set("theirs", 2), store.set("mine:2", 1)]
        if kept:
            calls.append(store.delete("mine:0"))
        told = await asyncio.gather(*calls, return_exceptions=True)
        assert told[0] is told[2] is None
        assert isinstance(told[1], StoreUnavailableError)
        assert told[1].key == "theirs"
        assert await store.get_many(["mine:1", "mine:2"]) == {"mine:1": 1, "mine:2": 1}
    with plain(own_redis.url) as client:
        assert client.get("ad_seller:theirs") == b"1"


async def test_a_forbidden_command_beside_allowed_ones(own_redis: RedisServer) -> None:
    with plain(own_redis.url) as client:
        client.execute_command("ACL", "SETUSER", "agent", "reset", "on", ">pw", "+@all", "-del", "~*", "&*")
    async with RedisBackend(own_redis.url.replace("redis://", "redis://agent:pw@")) as store:
        await store.set("a", 1)
        told = await asyncio.gather(
            store.set("b", 1), store.delete("a"), store.expire("a", 60), return_exceptions=True
        )
        assert told[0] is None
        assert isinstance(told[1], StoreUnavailableError)
        assert "Cannot write 'a': the user may not do this" in str(told[1])
        assert "ACL SETUSER agent ~ad_seller:* +@read +@write" in str(told[1])
        assert await store.get_many(["a", "b"]) == {"a": 1, "b": 1}
        assert await store.ttl("a") is not None


def test_the_rights_of_the_page_are_enough(own_redis: RedisServer) -> None:
    """A recorded day, a listing with an index, a message, and only what the page names is refused."""
    [line] = re.findall("^ACL SETUSER agent on .*$", (ROOT / "docs" / "redis.md").read_text(), re.MULTILINE)
    with plain(own_redis.url) as client:
        client.execute_command(*line.replace("PASSWORD", "pw").split())
    url = own_redis.url.replace("redis://", "redis://agent:pw@")
    check_recorded_day(url)

    async def others() -> None:
        async with RedisBackend(url) as store:
            await store.publish("news", {"n": 1})
            await store.keys()
            await store._store_entries([StoredEntry("deal:new", b"1", None)], [None])
        async with RedisBackend(url, wait_replicas=1, timeout=0.5) as store:
            with pytest.raises(UnknownOutcomeError):  # there is no replica, or the time was up
                await store.set("a", 1)

    asyncio.run(others())
    with plain(own_redis.url) as client:
        refused = {entry["object"].partition("|")[0] for entry in client.acl_log()}
    assert refused <= {"config"}  # whether the log reaches the disk, asked at connect; the page says so


async def test_a_commit_of_several_keys_of_which_one_is_forbidden(own_redis: RedisServer) -> None:
    """All or nothing, also where the batch is nothing but puts; with a time to live, too."""
    with plain(own_redis.url) as client:
        rules = ["on", ">pw", "+@all", "~ad_seller:mine:*", "~ad_seller:?index", "&*"]
        client.execute_command("ACL", "SETUSER", "agent", "reset", *rules)
    async with RedisBackend(own_redis.url.replace("redis://", "redis://agent:pw@")) as store:
        for ttl in (None, 60):
            told = await asyncio.gather(
                store.set_many({"mine:1": 1, "theirs": 2, "mine:2": 3}, ttl),
                store.set_many({"mine:3": 1, "mine:4": 2}, ttl),
                store.set("mine:5", 3, ttl),
                return_exceptions=True,
            )
            assert isinstance(told[0], (StoreUnavailableError, UnknownOutcomeError))
            assert told[1] is told[2] is None
            if ttl is None:
                assert isinstance(told[0], StoreUnavailableError)
                assert await store.get_many(["mine:1", "mine:2"]) == {}
            assert await store.get_many([f"mine:{n}" for n in (3, 4, 5)]) == {"mine:3": 1, "mine:4": 2, "mine:5": 3}
