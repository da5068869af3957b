"""What the scripts make of batches, against the plain meaning, and what they leave in the index."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from typing import Any

import pytest

from ad_seller.storage import CorruptValueError, MissingKeyError, UnknownOutcomeError
from ad_seller.storage.driver.commit import Commit, Delete, Expect, Put
from ad_seller.storage.redis import router
from ad_seller.storage.redis.engine import RedisEngine
from ad_seller.storage.redis.index import index_name
from ad_seller.storage.redis_backend import RedisBackend
from ad_seller.storage.testing.conformance.rows import rows
from ad_seller.storage.testing.servers import RedisServer
from tests.clock import SetClock
from tests.engines import engine_of
from tests.random_commits import check_batches

from .support import plain


def indexed(url: str, prefix: str) -> list[str]:
    """Return the names in the index without the prefix, as the scripts left them: nobody has listed."""
    with plain(url) as client:
        return names_of(client, prefix)


def names_of(client: Any, prefix: str) -> list[str]:
    """`indexed`, over a connection that is there."""
    names: list[bytes] = client.zrange(index_name(prefix), 0, -1)
    scores = {score for _, score in client.zrange(index_name(prefix), 0, -1, withscores=True)}
    assert scores <= {0}, "in the order of their bytes"
    return [name.decode().removeprefix(prefix) for name in names]


@pytest.fixture
def shared(redis_url: str) -> Iterator[Any]:
    """Another program's client of the shared server."""
    with plain(redis_url) as client:
        yield client


@rows("seed", range(60))
async def test_any_batch_means_what_it_means_in_memory(
    store: RedisBackend, shared: Any, redis_prefix: str, seed: int
) -> None:
    async def between() -> None:
        """The index names what is there; nothing expires, because the server's clock cannot be moved."""
        living = sorted(name.decode().removeprefix(redis_prefix) for name in shared.keys(f"{redis_prefix}?"))
        assert [name for name in names_of(shared, redis_prefix) if not name.startswith("\0")] == living

    for name in shared.keys(f"{redis_prefix}*"):
        shared.delete(name)  # the index, too: each seed begins where nobody has written or listed
    await check_batches(store, SetClock(), seed, between, (None, None, 3_600_000))


async def test_large_commits_are_in_the_index_in_full(
    store: RedisBackend, redis_url: str, redis_prefix: str
) -> None:
    """Lua passes on only some thousand names at once."""
    keys = [f"{number:05}" for number in range(4_500)]
    assert await (await engine_of(store)).apply([Commit((), tuple(Put(key, b"1") for key in keys))]) == [
        [True] * len(keys)
    ]
    assert indexed(redis_url, redis_prefix) == keys
    assert await (await engine_of(store)).apply([Commit((), tuple(Delete(key) for key in keys[:-1]))]) == [
        [True] * (len(keys) - 1)
    ]
    assert indexed(redis_url, redis_prefix) == keys[-1:]


async def test_many_puts_alike(store: RedisBackend, redis_url: str, redis_prefix: str) -> None:
    """They go by a script of their own."""
    await store.set_many({"b": 2, "a": 1})
    await store.set_many({"c": 3, "d": 4}, ttl=3600)
    await store.set_many({"a": 0, "d": 0})
    assert indexed(redis_url, redis_prefix) == ["a", "b", "c", "d"]
    assert await store.get_many(list("abcd")) == {"a": 0, "b": 2, "c": 3, "d": 0}
    left = {key: await store.ttl(key) for key in "abcd"}
    assert 3590 < (left.pop("c") or 0) <= 3600
    assert left == {"a": None, "b": None, "d": None}
    assert await store.incr("counter") == 1
    assert "counter" in indexed(redis_url, redis_prefix)


async def test_an_expectation_about_what_is_no_string(
    store: RedisBackend, redis_url: str, redis_prefix: str
) -> None:
    """It is named, also behind one that does not hold; other commits of the batch go on, what is there stays."""
    with plain(redis_url) as client:
        client.lpush(f"{redis_prefix}list", "x")
        with pytest.raises(CorruptValueError, match="no string") as caught:
            await store.create("list", 1)
        assert caught.value.key == "list"
        refused, applied = await (await engine_of(store)).apply(
            [
                Commit((Expect("a", b"1"), Expect("list", None)), (Put("list", b"1"),)),
                Commit((Expect("b", None),), (Put("b", b"2"),)),
            ]
        )
        assert isinstance(refused, CorruptValueError)
        assert refused.key == "list"
        assert applied == [True]
        assert client.lrange(f"{redis_prefix}list", 0, -1) == [b"x"]
    assert await store.get("b") == 2
    with pytest.raises(MissingKeyError):
        await store.ttl("list")


async def test_what_was_applied_is_told_although_a_later_script_fails_in_an_unforeseen_way(
    redis_url: str, redis_prefix: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One moment's writes are two scripts; each caller hears what became of its own."""
    async with RedisBackend(redis_url, redis_prefix) as store:
        engine = await engine_of(store)
        assert isinstance(engine, RedisEngine)
        send, runs = engine.router.run, 0

        async def failing(*arguments: Any, **settings: Any) -> list[Any]:
            nonlocal runs
            runs += 1
            if runs == 2:
                raise RuntimeError("not foreseen")
            return await send(*arguments, **settings)

        monkeypatch.setattr(engine.router, "run", failing)
        keys = ("first", "second")
        told = await asyncio.gather(*(store.set(key, "x" * 6_000_000) for key in keys), return_exceptions=True)
        assert told[0] is None
        assert isinstance(told[1], UnknownOutcomeError), "nobody knows"
        assert await store.keys() == ["first"]


async def test_a_script_that_the_server_has_forgotten_is_sent_again_however_late(
    own_redis: RedisServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(router, "_BRIEF", 0.0)  # as a large batch that takes longer
    async with RedisBackend(own_redis.url) as store:
        with plain(own_redis.url) as client:
            client.script_flush()
        await store.set("a", 1)
        await store.set_many({f"k{n}": "x" * 1000 for n in range(3000)})
        assert await store.count() == 3001
