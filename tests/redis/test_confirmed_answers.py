"""`wait_replicas`: an answer that rests on what was read is given only when replicas have it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from ad_seller.storage import LEAVE, UnknownOutcomeError
from ad_seller.storage.driver import Commit, Expect, Put, Refused
from ad_seller.storage.redis_backend import RedisBackend
from ad_seller.storage.testing.redis_nodes import ask
from ad_seller.storage.testing.servers import RedisBinary, RedisServer


@pytest.fixture
async def pair(redis_binary: RedisBinary, tmp_path: Path) -> AsyncIterator[tuple[RedisServer, RedisServer]]:
    """A master and its replica, which follows."""
    binary = redis_binary
    with (
        RedisServer(tmp_path / "m", binary=binary) as master,
        RedisServer(tmp_path / "r", binary=binary) as replica,
    ):
        await follow(master, replica)
        yield master, replica


async def follow(master: RedisServer, replica: RedisServer) -> None:
    ask(replica, "REPLICAOF", "127.0.0.1", master.port)
    while "master_link_status:up" not in ask(replica, "INFO", "replication"):  # noqa: ASYNC110 - nothing tells
        await asyncio.sleep(0.05)


async def cut(master: RedisServer, replica: RedisServer) -> None:
    """The network between the two is gone, and the master knows it."""
    ask(replica, "REPLICAOF", "127.0.0.1", 1)
    while "connected_slaves:0" not in ask(master, "INFO", "replication"):  # noqa: ASYNC110 - nothing tells
        await asyncio.sleep(0.01)


async def test_what_only_the_master_has_is_no_answer(pair: tuple[RedisServer, RedisServer]) -> None:
    master, replica = pair
    runs = 0

    async def work(tx: Any) -> str:
        nonlocal runs
        runs += 1
        await tx.set(f"deal:{runs}", {})
        await cut(master, replica)
        return f"deal {runs}"

    async with RedisBackend(master.url, timeout=1.5, wait_replicas=1) as store:
        with pytest.raises(UnknownOutcomeError):
            await store.run_once("book", "k", 1, work)
        for call in (
            lambda: store.run_once("book", "k", 1, work),
            lambda: store.create("deal:1", {}),
            lambda: store.update("deal:1", lambda _: LEAVE),
            lambda: store.compare_and_set("deal:1", {"other": 1}, {}),
            lambda: store.transact(lambda tx: tx.get("deal:1")),
        ):
            with pytest.raises(UnknownOutcomeError):
                await call()
        await follow(master, replica)
        assert await store.run_once("book", "k", 1, work) == "deal 1"
        assert await store.create("deal:1", {}) is False
        assert await store.update("deal:1", lambda _: LEAVE) == {}
        assert await store.compare_and_set("deal:1", {"other": 1}, {}) is False
    assert runs == 1


async def test_that_nothing_is_there_is_no_answer_while_only_the_master_knows(
    pair: tuple[RedisServer, RedisServer],
) -> None:
    """A delete that nobody confirmed, and its repeat by another; after a failover the entry would be back."""
    master, replica = pair
    async with RedisBackend(master.url, timeout=0.5, wait_replicas=1) as store:
        await store.set("agent:1", {})
        replica.freeze()
        with pytest.raises(UnknownOutcomeError):
            await store.delete("agent:1")
        async with RedisBackend(master.url, timeout=0.5, wait_replicas=1) as other:
            calls: list[Callable[[], Awaitable[object]]] = [
                lambda: other.delete("agent:1"),
                lambda: other.delete_many(["agent:1", "agent:2"]),
                lambda: other.expire("agent:1", 60),
                lambda: other.persist("agent:1"),
            ]
            for call in calls:
                with pytest.raises(UnknownOutcomeError):
                    await call()
            replica.thaw()
            assert await other.delete("agent:1") is False
            assert await other.delete_many(["agent:1", "agent:2"]) == 0
            assert await other.expire("agent:1", 60) is False


async def test_a_commit_that_is_refused_waits_for_what_it_met(pair: tuple[RedisServer, RedisServer]) -> None:
    """It writes nothing itself, over a connection that never wrote; the replica lives, and is behind."""
    master, replica = pair
    open_store = partial(RedisBackend, master.url, timeout=0.5, wait_replicas=1)
    refused = Commit((Expect("a", None),), (Put("a", b"2"),))
    async with open_store() as writer:
        await writer.set("b", 1)
        replica.freeze()
        for write in (writer.set("a", 1), writer.delete("b")):
            with pytest.raises(UnknownOutcomeError):
                await write
        answers: tuple[Callable[[RedisBackend], Awaitable[object]], ...] = (
            lambda other: other._atomic_commit(refused),
            lambda other: other.delete("b"),
            lambda other: other.delete_many(["b"]),
        )
        for answer in answers:
            async with open_store() as other:
                with pytest.raises(UnknownOutcomeError):
                    await answer(other)
        replica.thaw()
        async with RedisBackend(master.url, wait_replicas=1) as other:
            assert await other._atomic_commit(refused) == Refused("a")
            assert await other.delete("b") is False


async def test_confirming_keeps_the_entry_as_it_is(pair: tuple[RedisServer, RedisServer]) -> None:
    master, _ = pair
    async with RedisBackend(master.url, wait_replicas=1) as store:
        await store.set("quote:1", {"cpm": 1}, ttl=100)
        assert await store.create("quote:1", {}) is False
        assert await store.get("quote:1") == {"cpm": 1}
        assert 90 < (await store.ttl("quote:1") or 0) <= 100


async def test_without_replicas_to_wait_for_it_costs_nothing(redis_url: str, redis_prefix: str) -> None:
    async with RedisBackend(redis_url, key_prefix=redis_prefix) as store:
        await store.set("k", 1)
        before = (await store.get_stats())["total_commands_processed"]
        assert await store.update("k", lambda _: LEAVE) == 1
        assert (await store.get_stats())["total_commands_processed"] - before <= 3
