"""A server that freezes while something is claimed: nobody waits for it twice, nor in vain where it answers."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Iterator
from pathlib import Path
from typing import Any

import pytest

from ad_seller.storage import NotApplied, StorageBackend, UnknownOutcomeError
from ad_seller.storage.driver.commit import Commit, Outcome
from ad_seller.storage.hybrid_backend import HybridBackend
from ad_seller.storage.memory_backend import MemoryBackend
from ad_seller.storage.postgres_backend import PostgresBackend
from ad_seller.storage.redis_backend import RedisBackend
from ad_seller.storage.testing.postgres_server import PostgresServer
from ad_seller.storage.testing.servers import RedisServer, find_redis_binary

TIMEOUT = 2.0
MORE = 1.6  #: seconds that a loaded machine may add; waiting twice is more


class Freezes(StorageBackend):
    """Its server freezes when the commit that is counted down to is about to be sent."""

    server: RedisServer | PostgresServer
    commits_before = -1

    async def _atomic_commit(self, commit: Commit) -> Outcome:
        if self.commits_before == 0:
            self.server.freeze()
        self.commits_before -= 1
        return await super()._atomic_commit(commit)


class FreezingRedis(Freezes, RedisBackend):
    """On Redis."""

    def __init__(self, server: RedisServer, url: str) -> None:
        super().__init__(url, timeout=TIMEOUT)
        self.server = server


class FreezingPostgres(Freezes, PostgresBackend):
    """On PostgreSQL."""

    def __init__(self, server: PostgresServer, url: str) -> None:
        super().__init__(url, timeout=TIMEOUT)
        self.server = server


async def take_lease(store: StorageBackend) -> None:
    async with store.lease("scheduler", ttl=60):
        pass


async def run_once(store: StorageBackend) -> None:
    async def work(tx: Any) -> None:
        await tx.set("a", 1)

    await store.run_once("scope", "key", {}, work)


async def make_effect(store: StorageBackend) -> None:
    async def call(_: str) -> int:
        return 1

    async def reconcile(_: str) -> NotApplied:
        return NotApplied()

    await store.effect("scope", "name", call=call, reconcile=reconcile)


CLAIMS = [(take_lease, 0), (run_once, 0), (run_once, 1), (make_effect, 0), (make_effect, 1)]
ROWS = [(kind, *claim) for kind in ("redis", "postgres") for claim in CLAIMS] + [("hybrid", *CLAIMS[2])]


@pytest.fixture
def side(kind: str, tmp_path: Path) -> Iterator[Freezes]:
    """The store whose server freezes."""
    if kind == "redis":
        with RedisServer(tmp_path / "redis", binary=find_redis_binary()) as redis:
            yield FreezingRedis(redis, redis.url)
    else:
        with PostgresServer() as postgres:
            yield FreezingPostgres(postgres, postgres.url())


@pytest.fixture
def store(kind: str, side: Freezes) -> StorageBackend:
    """What the caller sees of it."""
    return HybridBackend(side, MemoryBackend(timeout=TIMEOUT)) if kind == "hybrid" else side


@pytest.mark.parametrize(("kind", "claim", "commits_before"), ROWS)
@pytest.mark.parametrize("cancelled", [False, True])
async def test_a_claim_waits_once(
    claim: Callable[[StorageBackend], Coroutine[Any, Any, None]],
    commits_before: int,
    cancelled: bool,
    side: Freezes,
    store: StorageBackend,
) -> None:
    side.commits_before = commits_before
    async with store:
        calling = asyncio.ensure_future(claim(store))
        if cancelled:
            await asyncio.sleep(0.3)
            calling.cancel()
        done, _ = await asyncio.wait([calling], timeout=TIMEOUT + MORE)
        side.server.thaw()
        assert done, "it waits again"
        if cancelled:
            assert calling.cancelled()
        else:
            assert isinstance(calling.exception(), UnknownOutcomeError)
        await asyncio.wait_for(claim(store), 10)  # what was claimed is free again


class LosesAnAnswer(RedisBackend):
    """The answer to its first commit, which was applied, is lost with the connection."""

    is_lost = False

    async def _atomic_commit(self, commit: Commit) -> Outcome:
        outcome = await super()._atomic_commit(commit)
        if not self.is_lost:
            self.is_lost = True
            raise UnknownOutcomeError("lost") from ConnectionResetError()
        return outcome


async def test_where_only_the_answer_was_lost_the_claim_is_free_when_the_caller_hears_of_it(
    redis_url: str, redis_prefix: str
) -> None:
    async with LosesAnAnswer(redis_url, redis_prefix) as store:
        with pytest.raises(UnknownOutcomeError):
            await take_lease(store)
        await take_lease(store)
