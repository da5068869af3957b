"""How many connections there are, and that none is left behind."""

from __future__ import annotations

import asyncio

import pytest

from ad_seller.storage import StoreUnavailableError
from ad_seller.storage.postgres_backend import PostgresBackend
from ad_seller.storage.testing.postgres_server import PostgresServer
from tests.postgres.support import connections, connections_become, sql


class TestConnecting:
    async def test_a_hundred_cancelled_connects_leave_nothing(self, postgres_url: str) -> None:
        before = set(asyncio.all_tasks())
        cancelled = 0
        for number in range(100):
            storage = PostgresBackend(postgres_url, pool_min=3)
            task = asyncio.create_task(storage.connect())
            await asyncio.sleep(number * 0.0003)
            task.cancel()
            [result] = await asyncio.gather(task, return_exceptions=True)
            assert result is None or isinstance(result, asyncio.CancelledError)
            cancelled += result is not None
            await storage.disconnect()
        assert cancelled > 10
        assert await connections_become(postgres_url, 0)
        assert asyncio.all_tasks() == before

    async def test_a_hundred_failed_connects_leave_nothing(self, new_database: str) -> None:
        async with PostgresBackend(new_database):
            pass
        await sql(new_database, "UPDATE ad_seller_schema SET value = '99' WHERE name = 'version'")
        for _ in range(100):
            with pytest.raises(StoreUnavailableError):
                await PostgresBackend(new_database).connect()
        assert await connections_become(new_database, 0)

    async def test_two_thousand_callers_within_the_pool(self, postgres_url: str) -> None:
        most = 0
        done = asyncio.Event()

        async def watch() -> None:
            nonlocal most
            while not done.is_set():
                most = max(most, await connections(postgres_url))

        async def call(storage: PostgresBackend, number: int) -> None:
            await storage.set(f"deal:{number}", {"n": number})
            assert await storage.get(f"deal:{number}") == {"n": number}
            assert await storage.exists(f"deal:{number}")
            assert await storage.create(f"order:{number}", number)
            await storage.increment(f"count:{number % 7}")
            assert await storage.keys(f"order:{number}") == [f"order:{number}"]

        async with PostgresBackend(postgres_url, pool_max=4, timeout=30) as storage:
            watching = asyncio.create_task(watch())
            await asyncio.gather(*(call(storage, number) for number in range(2000)))
            done.set()
            await watching
            assert sum((await storage.get_many(f"count:{n}" for n in range(7))).values()) == 2000
        assert 1 < most <= 4
        assert await connections_become(postgres_url, 0)

    async def test_more_sessions_than_the_server_has_are_not_needed(self, own_postgres: PostgresServer) -> None:
        async with PostgresBackend(own_postgres.url(), pool_min=1, pool_max=500, timeout=30) as storage:
            await storage.set("a", 1)
            await asyncio.gather(*(storage.keys("a*") for _ in range(500)))

    async def test_a_pool_of_one(self, postgres_url: str) -> None:
        async with PostgresBackend(postgres_url, 1, 1) as storage:
            await asyncio.gather(*(storage.increment("n") for _ in range(50)), *(storage.keys() for _ in range(50)))
            assert await storage.get("n") == 50
            assert await connections(postgres_url) == 1
