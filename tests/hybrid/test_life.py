"""Connecting, disconnecting and failing of two backends joined."""

from __future__ import annotations

import asyncio
import threading
import time
from contextlib import suppress
from pathlib import Path

import pytest

from ad_seller.storage import CorruptValueError, NotConnectedError, StorageConnectionError, StorageError
from ad_seller.storage.hybrid_backend import HybridBackend
from ad_seller.storage.memory_backend import MemoryBackend
from ad_seller.storage.postgres_backend import PostgresBackend
from ad_seller.storage.redis_backend import RedisBackend
from ad_seller.storage.sqlite_backend import SQLiteBackend
from ad_seller.storage.testing.postgres_server import PostgresServer
from ad_seller.storage.testing.servers import RedisServer
from tests.lateness import loop_lateness


class TestLife:
    async def test_one_side_that_cannot_be_reached_closes_the_other(
        self, postgres_url: str, tmp_path: Path
    ) -> None:
        nowhere = f"sqlite:///{tmp_path}"  # a folder
        for sides in (
            (MemoryBackend(), SQLiteBackend(nowhere)),
            (SQLiteBackend(nowhere), MemoryBackend()),
            (PostgresBackend(postgres_url), RedisBackend("redis://127.0.0.1:1")),
            (PostgresBackend("postgresql://u@127.0.0.1:1/d"), MemoryBackend()),
        ):
            storage = HybridBackend(*sides)
            with pytest.raises(StorageConnectionError):
                await storage.connect()
            for side in sides:
                with pytest.raises(NotConnectedError):
                    await side.get("a")

    async def test_a_cancelled_connect_closes_both(self) -> None:
        class Slow(MemoryBackend):
            async def connect(self) -> None:
                await super().connect()
                await asyncio.sleep(10)

        first, second = MemoryBackend(), Slow()
        task = asyncio.create_task(HybridBackend(first, second).connect())
        await asyncio.sleep(0.01)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        with pytest.raises(NotConnectedError):
            await first.get("a")
        await second.disconnect()

    @pytest.mark.parametrize("fails", ["after", "before"])
    async def test_an_event_loop_that_fails_closes_nothing_for_one_that_opens(self, fails: str) -> None:
        """The other one has opened both sides when this one hears that it cannot, or opens the second."""
        met, failed = threading.Event(), threading.Event()
        here = asyncio.get_running_loop()

        class Second(MemoryBackend):
            async def connect(self) -> None:
                if asyncio.get_running_loop() is here:
                    await asyncio.to_thread(met.wait, 20)
                    raise StorageConnectionError("not from here")
                if fails == "before":
                    met.set()
                    await asyncio.to_thread(failed.wait, 20)
                await super().connect()

        storage = HybridBackend(MemoryBackend(), Second())

        async def elsewhere() -> None:
            await storage.connect()
            met.set()
            await asyncio.to_thread(failed.wait, 20)
            await storage.set_many({"deal:1": 1, "session:1": 2})
            assert await storage.get_many(["deal:1", "session:1"]) == {"deal:1": 1, "session:1": 2}
            await storage.disconnect()

        there = asyncio.create_task(asyncio.to_thread(asyncio.run, elsewhere()))
        with pytest.raises(StorageConnectionError, match="not from here"):
            await storage.connect()
        failed.set()
        await there
        assert not storage.postgres._is_connected()

    @pytest.mark.parametrize("closed", [False, True])
    async def test_an_event_loop_that_stopped_in_the_middle_keeps_nothing_open(self, closed: bool) -> None:
        here = asyncio.get_running_loop()

        class Second(MemoryBackend):
            async def connect(self) -> None:
                if asyncio.get_running_loop() is here:
                    raise StorageConnectionError("not from here")
                await asyncio.sleep(60)

        storage = HybridBackend(MemoryBackend(), Second())

        def begin() -> tuple[asyncio.AbstractEventLoop, asyncio.Task[None]]:
            loop = asyncio.new_event_loop()
            task = loop.create_task(storage.connect())
            loop.run_until_complete(asyncio.sleep(0.05))
            return loop, task

        loop, task = await asyncio.to_thread(begin)
        assert storage.postgres._is_connected()
        if closed:
            loop.close()
        with pytest.raises(StorageConnectionError, match="not from here"):
            await storage.connect()
        assert not storage.postgres._is_connected()
        if not closed:
            task.cancel()
            with suppress(asyncio.CancelledError):
                await asyncio.to_thread(loop.run_until_complete, task)
            loop.close()

    async def test_disconnect_closes_both_even_if_one_fails(self) -> None:
        class Broken(MemoryBackend):
            async def disconnect(self) -> None:
                await super().disconnect()
                raise StorageConnectionError("the goodbye got lost")

        second = MemoryBackend()
        storage = HybridBackend(Broken(), second)
        await storage.connect()
        with pytest.raises(StorageConnectionError, match="goodbye"):
            await storage.disconnect()
        with pytest.raises(NotConnectedError):
            await second.get("a")

    async def test_health_of_each_side(self, postgres_url: str, own_redis: RedisServer) -> None:
        async with HybridBackend(
            PostgresBackend(postgres_url), RedisBackend(own_redis.url, timeout=0.5)
        ) as storage:
            health = await storage.health()
            assert [(name, side.backend, side.error) for name, side in health.items()] == [
                ("postgres", "PostgresBackend", None),
                ("redis", "RedisBackend", None),
            ]
            assert all(side.is_healthy and 0 < side.seconds < 5 for side in health.values())
            await asyncio.to_thread(own_redis.stop)
            health = await storage.health()
            assert health["postgres"].is_healthy
            assert isinstance(health["redis"].error, StorageConnectionError)
            await storage.set("deal:1", 1)
            with pytest.raises(StorageConnectionError):
                await storage.set("session:1", 1)
            await asyncio.to_thread(own_redis.start)
            assert (await storage.health())["redis"].is_healthy

    async def test_a_corrupt_entry_of_the_wrong_side_spoils_nothing(
        self, tmp_path: Path, joined: HybridBackend
    ) -> None:
        import sqlite3

        first = SQLiteBackend(f"sqlite:///{tmp_path}/first.db")
        async with HybridBackend(first, MemoryBackend()) as storage:
            await storage.set_many({"deal:1": 1, "session:1": 1})
            with sqlite3.connect(first.path) as db:
                db.execute("INSERT INTO kv_store (key, value) VALUES ('session:0', '{')")
            db.close()
            assert (await storage.scan()).items == [("deal:1", 1), ("session:1", 1)]
            with sqlite3.connect(first.path) as db:
                db.execute("INSERT INTO kv_store (key, value) VALUES ('deal:0', '{')")
            db.close()
            with pytest.raises(CorruptValueError) as caught:
                await storage.scan()
            assert caught.value.key == "deal:0"


class TestFrozen:
    async def test_changes_that_wait_for_one_another_wait_no_longer_than_one_call(
        self, own_postgres: PostgresServer
    ) -> None:
        sides = PostgresBackend(own_postgres.url(), timeout=1.0), MemoryBackend(timeout=1.0)
        async with HybridBackend(*sides) as storage:
            await storage.set("n", 0)

            async def change(pause: float) -> float:
                await asyncio.sleep(pause)
                began = time.perf_counter()
                with pytest.raises(StorageError):
                    await storage.increment("n")
                return time.perf_counter() - began

            own_postgres.freeze()
            async with loop_lateness() as lateness:
                waits = await asyncio.gather(change(0), *(change(0.05) for _ in range(5)))
            own_postgres.thaw()
            assert max(waits[1:]) < 1.5 + sum(lateness)
