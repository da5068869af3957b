"""Pages that are stored on Redis: what is new by transactions, all else by a script."""

from __future__ import annotations

import time

import pytest

from ad_seller.storage import StoreUnavailableError, UnknownOutcomeError
from ad_seller.storage.driver.transfer import StoredEntry
from ad_seller.storage.redis.transfer import Transfers
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
        assert (after["evalsha"] > before["evalsha"]) == bool(there)
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


@pytest.mark.parametrize("other", ["deal:00001", "deal:00003"])
async def test_what_is_of_another_type_is_no_entry(own_redis: RedisServer, other: str) -> None:
    """Neither is it one for who stores, nor for who has listed before."""
    with plain(own_redis.url) as client:
        client.hset(f"ad_seller:{other}", "a", "b")
    async with RedisBackend(own_redis.url) as store, RedisBackend(own_redis.url) as listed:
        assert await store.keys() == await listed.keys() == []
        entries = page()
        said = await store._store_entries(entries, [None] * _MANY)
        assert [entry.key for entry, stored in zip(entries, said, strict=True) if not stored] == [other]
        for each in (store, listed):
            assert other not in await each.keys("deal:*")
            assert await each.count() == _MANY - 1


def _end(*_: object) -> None:
    raise KeyboardInterrupt


async def test_what_a_killed_process_leaves_of_another_type_is_swept(
    own_redis: RedisServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its transaction has named it in the index, the script that takes it out was not sent any more."""
    with plain(own_redis.url) as client:
        client.hset("ad_seller:deal:00001", "a", "b")
    async with RedisBackend(own_redis.url) as store:
        assert await store.keys() == []
        with monkeypatch.context() as patch:
            patch.setattr(Transfers, "_call", _end)
            with pytest.raises(KeyboardInterrupt):
                await store._store_entries(page(), [None] * _MANY)
        await store._sweep_all()
        assert "deal:00001" not in await store.keys()
        assert await store.count() == len(await store.keys()) > 0


async def test_the_right_to_transact_is_taken_away(own_redis: RedisServer) -> None:
    """Then a page may be stored in part, which is told as not known; the next one is stored by scripts."""
    with plain(own_redis.url) as client:
        client.execute_command("ACL", "SETUSER", "agent", "reset", "on", ">pw", "+@all", "~*", "&*")
        async with RedisBackend(own_redis.url.replace("redis://", "redis://agent:pw@")) as store:
            assert await store._store_entries([StoredEntry("deal:x", b"1", None)], [None]) == [True]
            client.execute_command("ACL", "SETUSER", "agent", "-multi")
            with pytest.raises(UnknownOutcomeError):
                await store._store_entries(page(), [None] * _MANY)
            assert await store._store_entries([StoredEntry("deal:y", b"1", None)], [None]) == [True]
            assert await store.get("deal:y") == 1


async def test_a_full_server_says_so(own_redis: RedisServer) -> None:
    async with RedisBackend(own_redis.url) as store:
        await store.set("deal:1", 1)
        with plain(own_redis.url) as client:
            client.config_set("maxmemory", "1000")
        with pytest.raises(StoreUnavailableError, match="out of memory"):
            await store._store_entries(page(), [None] * _MANY)
        assert await store.keys() == ["deal:1"]
