"""What every backend tells of itself: `health` and `stats`, in one form on all of them."""

from __future__ import annotations

import asyncio
import sqlite3
import threading
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pytest

from ad_seller.storage import (
    ConflictError,
    NamespacedBackend,
    NotConnectedError,
    StorageBackend,
    StorageConnectionError,
    Transaction,
)
from ad_seller.storage.hybrid_backend import HybridBackend
from ad_seller.storage.memory_backend import MemoryBackend
from ad_seller.storage.postgres_backend import PostgresBackend
from ad_seller.storage.redis_backend import RedisBackend
from ad_seller.storage.sqlite_backend import SQLiteBackend
from ad_seller.storage.stats import BatchStats, PoolStats, Stats
from ad_seller.storage.sync import SyncStorage
from ad_seller.storage.testing.postgres_server import PostgresServer
from ad_seller.storage.testing.servers import RedisServer
from tests.test_base import Seven

ENGINES = ("memory", "sqlite", "redis", "postgres", "hybrid", "custom")
#: What each has nothing to say about.
NOT_THERE = {
    "memory": {"pool", "index_trusted", "follower_lag"},
    "sqlite": {"pool", "index_trusted", "follower_lag"},
    "postgres": {"index_trusted", "follower_lag"},
    "redis": {"follower_lag"},
    "hybrid": {"follower_lag"},
    "custom": {"loops", "pool", "reads", "writes", "listings", "expired", "index_trusted", "follower_lag"},
}


def made(engine: str, folder: Path, redis: tuple[str, str], ask: pytest.FixtureRequest) -> StorageBackend:
    makers: dict[str, Callable[[], StorageBackend]] = {
        "memory": MemoryBackend,
        "sqlite": lambda: SQLiteBackend(str(folder / "stats.db")),
        "redis": lambda: RedisBackend(redis[0], key_prefix=redis[1]),
        "postgres": lambda: PostgresBackend(ask.getfixturevalue("postgres_url")),
        "hybrid": lambda: HybridBackend(made("postgres", folder, redis, ask), made("redis", folder, redis, ask)),
        "custom": Seven,
    }
    return makers[engine]()


@pytest.fixture(params=ENGINES)
def engine(request: pytest.FixtureRequest) -> str:
    name: str = request.param
    return name


@pytest.fixture
def backend(
    engine: str, tmp_path: Path, redis_url: str, redis_prefix: str, request: pytest.FixtureRequest
) -> StorageBackend:
    return made(engine, tmp_path, (redis_url, redis_prefix), request)


@pytest.fixture
async def store(backend: StorageBackend) -> AsyncIterator[StorageBackend]:
    assert backend.stats().conflicts == 0  # before it is connected, too
    async with backend:
        yield backend


async def until(reached: Callable[[], object]) -> None:
    """Wait for what the tasks of the test, or time, are on their way to."""
    while not reached():  # noqa: ASYNC110 - nothing tells of it
        await asyncio.sleep(0.001)


async def test_one_form_everywhere(store: StorageBackend, engine: str) -> None:
    sets = [store.set(f"deal:{n}", n) for n in range(10)] + [store.set("session:1", text) for text in "ab"]
    await asyncio.gather(*sets)
    await asyncio.gather(*(store.get(f"deal:{n}") for n in range(10)))
    assert len(await store.keys("*")) == 11
    stats = store.stats()
    empty = {name for name in stats.__struct_fields__ if getattr(stats, name) is None}
    assert empty == NOT_THERE[engine]
    assert stats.backend == type(store).__name__
    assert set(stats.as_dict()) == set(Stats.__struct_fields__)
    if stats.writes is not None and stats.reads is not None:
        assert (stats.writes.calls, stats.writes.entries, stats.writes.waiting) == (12, 12, 0)
        assert stats.writes.batches == len(stats.sides or {"": 0})  # those of one turn of the loop went together
        assert stats.writes.largest == (10 if stats.sides else 12)
        assert stats.reads.calls == 10
        assert stats.loops == len(stats.sides or {"": 0})
    if stats.pool is not None:
        assert 0 < stats.pool.open <= stats.pool.most
        assert stats.pool.waiting == 0
    if stats.index_trusted is not None:
        assert stats.index_trusted
    assert set(stats.sides) == ({"postgres", "redis"} if engine == "hybrid" else set())


async def test_conflicts_and_what_ran_again(store: StorageBackend) -> None:
    async def disturbed(tx: Transaction) -> None:
        before = await tx.get("deal:1")
        if before is None:
            await asyncio.create_task(store.set("deal:1", "by another task"))
        await tx.set("deal:1", "mine")

    await store.transact(disturbed)
    assert (store.stats().conflicts, store.stats().retries) == (1, 1)

    async def once() -> None:
        async with store.transaction() as tx:
            await tx.get("deal:2")
            await asyncio.create_task(store.set("deal:2", "by another task"))
            await tx.set("deal:2", "mine")

    with pytest.raises(ConflictError):
        await once()
    assert (store.stats().conflicts, store.stats().retries) == (2, 1)


async def test_an_update_that_others_overtake(tmp_path: Path) -> None:
    with sqlite3.connect(tmp_path / "a.db") as other:

        def change(value: Any) -> Any:
            if value == 1:  # another process is faster, once
                other.execute("UPDATE kv_store SET value = '5' WHERE key = 'a'")
                other.commit()
            return value + 1

        async with SQLiteBackend(str(tmp_path / "a.db")) as store:
            await store.set("a", 1)
            assert await store.update("a", change) == 6
            assert (store.stats().conflicts, store.stats().retries) == (1, 1)
    other.close()


async def test_who_waits_is_counted_while_it_waits(tmp_path: Path) -> None:
    async with SQLiteBackend(str(tmp_path / "a.db")) as store:
        other = sqlite3.connect(tmp_path / "a.db", isolation_level=None)
        other.execute("BEGIN IMMEDIATE")
        tasks = [asyncio.create_task(store.set(f"k{n}", n)) for n in range(5)]
        await until(lambda: writes_of(store).batches)
        assert writes_of(store).waiting == 5
        await until(lambda: store.stats().retries)  # the batch is queued again when the lock is not had
        other.execute("ROLLBACK")
        other.close()
        await asyncio.gather(*tasks)
        assert writes_of(store).waiting == 0
        assert writes_of(store).calls == 5


def writes_of(store: StorageBackend) -> BatchStats:
    writes = store.stats().writes
    assert writes is not None
    return writes


async def test_the_pool_of_a_server_that_is_short_of_connections(postgres_url: str) -> None:
    async with PostgresBackend(postgres_url, pool_min=1, pool_max=1) as store:
        with store._guarded(await store._here(), "hold", "a connection") as session:
            engine: Any = session.engine
            async with engine._client.borrowed(5):
                task = asyncio.create_task(store.get("a"))
                await until(lambda: store.stats().pool == PoolStats(open=1, idle=0, most=1, waiting=1))
        assert await task is None


async def test_counts_of_loops_that_ended_stay(tmp_path: Path) -> None:
    async with SQLiteBackend(str(tmp_path / "a.db")) as store:

        async def elsewhere() -> None:
            await asyncio.gather(*(store.set(f"k{n}", n) for n in range(7)))
            assert store.stats().loops == 2

        thread = threading.Thread(target=asyncio.run, args=(elsewhere(),))
        thread.start()
        await asyncio.to_thread(thread.join)
        await store.set("here", 1)
        assert (store.stats().loops, writes_of(store).calls) == (1, 8)
    assert (store.stats().loops, writes_of(store).calls) == (0, 8)


async def test_expired_entries_that_were_reclaimed(tmp_path: Path) -> None:
    now = 1_000.0
    async with SQLiteBackend(str(tmp_path / "a.db"), clock=lambda: now) as store:
        await store.set_many({f"k{n}": n for n in range(3)}, ttl=10)
        now += 11
        assert await store._sweep_all() == 3
        assert store.stats().expired == 3


async def test_a_follower_that_is_behind() -> None:
    async with MemoryBackend() as store:
        log = store.log("event")
        await log.append({"n": 1})
        await log.append({"n": 2})
        assert store.stats().follower_lag is None
        entries = log.follow()
        await anext(entries)
        await until(lambda: store.stats().follower_lag)  # it stands at the first, and time goes on
        await anext(entries)
        waits = asyncio.create_task(anext(entries))  # for a third one
        await until(lambda: store.stats().follower_lag == 0)
        await log.append({"n": 3})
        assert (await waits).value == {"n": 3}
        await entries.aclose()


async def test_health_in_one_form(store: StorageBackend, engine: str) -> None:
    health = await store.health()
    assert health.is_reachable
    assert health.is_healthy
    assert health.backend == type(store).__name__
    assert health.seconds < 5
    if engine == "hybrid":
        assert {name: side.backend for name, side in health.sides.items()} == {
            "postgres": "PostgresBackend",
            "redis": "RedisBackend",
        }
    await store.disconnect()
    if engine != "custom":  # its author says nothing of connecting
        with pytest.raises(NotConnectedError):
            await store.health()


async def test_a_hybrid_whose_one_side_is_gone(own_redis: RedisServer) -> None:
    async with HybridBackend(MemoryBackend(), RedisBackend(own_redis.url, timeout=0.5)) as store:
        own_redis.kill()
        health = await store.health()
        assert not health.is_reachable
        assert isinstance(health.error, StorageConnectionError)
        assert health["postgres"].is_reachable


async def test_a_namespace_tells_of_its_backend() -> None:
    async with NamespacedBackend(MemoryBackend(), "acme") as store:
        await store.set("a", 1)
        stats = store.stats()
        assert (stats.backend, writes_of(store).calls) == ("NamespacedBackend", 1)
        assert (await store.health()).backend == "MemoryBackend"
    with pytest.raises(NotConnectedError):
        await store.health()


def test_without_await(tmp_path: Path) -> None:
    with SyncStorage(SQLiteBackend(str(tmp_path / "a.db"))) as store:
        store.set("a", 1)
        assert writes_of(store.backend) == store.stats().writes
        assert store.health().is_reachable


class TestDoubts:
    """What may be lost of what was acknowledged is in the log at connect; Redis: tests/redis/test_doubts.py."""

    async def test_sqlite(self, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
        async with SQLiteBackend(str(tmp_path / "a.db")) as store:
            assert (await store.health()).doubts == ()
        assert not caplog.records
        async with SQLiteBackend(str(tmp_path / "a.db"), synchronous="NORMAL") as store:
            [doubt] = (await store.health()).doubts
        assert "synchronous=NORMAL" in doubt
        assert [record.getMessage() for record in caplog.records] == [f"{store!r}: {doubt}"]

    async def test_postgres(
        self, own_postgres: PostgresServer, postgres_url: str, caplog: pytest.LogCaptureFixture
    ) -> None:
        async with PostgresBackend(own_postgres.url()) as store:
            assert (await store.health()).doubts == ()
        assert not caplog.records
        async with PostgresBackend(own_postgres.url() + "?options=-c%20synchronous_commit%3Doff") as store:
            [doubt] = (await store.health()).doubts
        assert "synchronous_commit" in doubt
        assert doubt in caplog.text
        async with HybridBackend(PostgresBackend(postgres_url), MemoryBackend()) as joined:  # of the tests' server
            [doubt] = (await joined.health()).doubts
        assert "fsync and full_page_writes off" in doubt
