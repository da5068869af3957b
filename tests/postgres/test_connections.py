"""How many connections there are, and that none is left behind."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest

from ad_seller.storage import (
    ConfigurationError,
    StorageConnectionError,
    StorageTimeoutError,
    StoreUnavailableError,
)
from ad_seller.storage.postgres_backend import PostgresBackend
from ad_seller.storage.testing.postgres_server import PostgresServer
from tests.amounts import times
from tests.postgres.support import connections, connections_become, postgres_engine_of, sql


class TestNoRoom:
    """The server takes no further session: the reason is said where it matters."""

    @pytest.fixture
    async def limited(self, new_database: str) -> AsyncIterator[str]:
        """The database, for a user who may have one session at a time."""
        user = f"{new_database.rpartition('/')[2]}_user"
        await sql(new_database, f"CREATE ROLE {user} LOGIN PASSWORD 'pw' CONNECTION LIMIT 1")
        await sql(new_database, f"GRANT CREATE ON SCHEMA public TO {user}")
        yield f"postgresql://{user}:pw@{new_database.rpartition('@')[2]}"
        await sql(new_database, f"DROP OWNED BY {user}")
        await sql(new_database, f"DROP ROLE {user}")

    async def test_at_connect(self, limited: str) -> None:
        async with PostgresBackend(limited, pool_min=1):
            with pytest.raises(StorageConnectionError, match=r"too many connections.*pool_max.*CONNECTION LIMIT"):
                await PostgresBackend(limited, pool_min=1).connect()

    async def test_while_the_only_connection_is_busy(self, limited: str, new_database: str) -> None:
        async with PostgresBackend(limited, pool_min=1, pool_max=2, timeout=2) as storage:
            async with (await postgres_engine_of(storage))._client.borrowed(5):
                with pytest.raises(
                    StorageTimeoutError, match=r"could be made: too many connections.*CONNECTION LIMIT"
                ):
                    await storage.get("a")
                with pytest.raises(
                    StorageTimeoutError, match=r"too many connections for role.*Nothing was written"
                ):
                    await storage.set("a", 1)
            assert await connections_become(new_database, 0)  # whoever looks is a session, too
            assert await storage.get("a") is None


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
        if late := asyncio.all_tasks() - before:  # what has not reached the server yet is given up at its next step
            await asyncio.wait(late, timeout=20)
        assert asyncio.all_tasks() == before
        assert await connections_become(postgres_url, 0)

    async def test_nothing_goes_on_beside_a_server_that_does_not_answer(self, own_postgres: PostgresServer) -> None:
        before = set(asyncio.all_tasks())
        connected = PostgresBackend(own_postgres.url(), pool_min=1, timeout=1)
        await connected.connect()
        own_postgres.freeze()
        calls: list[asyncio.Task[Any]]
        calls = [asyncio.create_task(connected.keys(f"{number}*")) for number in range(5)]
        calls.append(asyncio.create_task(PostgresBackend(own_postgres.url(), timeout=60).connect()))
        await asyncio.sleep(0.5)  # connections for them are on their way
        for call in calls:
            call.cancel()
        await connected.disconnect()
        left = asyncio.all_tasks() - before
        own_postgres.thaw()
        assert not left

    async def test_a_hundred_failed_connects_leave_nothing(self, new_database: str) -> None:
        async with PostgresBackend(new_database):
            pass
        await sql(new_database, "UPDATE ad_seller_schema SET value = '99' WHERE name = 'version'")
        for _ in range(times(30, in_ci=100)):
            with pytest.raises(StoreUnavailableError):
                await PostgresBackend(new_database).connect()
        assert await connections_become(new_database, 0)

    async def test_two_thousand_callers_within_the_pool(self, postgres_url: str) -> None:
        callers = times(500, in_ci=2000)
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
            await asyncio.gather(*(call(storage, number) for number in range(callers)))
            done.set()
            await watching
            assert sum((await storage.get_many(f"count:{n}" for n in range(7))).values()) == callers
        assert 1 < most <= 4
        assert await connections_become(postgres_url, 0)

    async def test_more_sessions_than_the_server_has_are_not_needed(self) -> None:
        with PostgresServer(config={"max_connections": "20"}) as server:
            async with PostgresBackend(server.url(), pool_min=1, pool_max=200, timeout=30) as storage:
                await storage.set("a", 1)
                await asyncio.gather(*(storage.keys("a*") for _ in range(200)))

    async def test_a_pool_of_one(self, postgres_url: str) -> None:
        async with PostgresBackend(postgres_url, 1, 1) as storage:
            await asyncio.gather(*(storage.increment("n") for _ in range(50)), *(storage.keys() for _ in range(50)))
            assert await storage.get("n") == 50
            assert await connections(postgres_url) == 1


class TestFewConnections:
    async def test_a_minimum_of_none(self, postgres_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
        """Opened when needed, one for a conversation, and closed again after a while."""
        monkeypatch.setattr("ad_seller.storage.postgres.pool.IDLE_SECONDS", 0.2)
        async with PostgresBackend(postgres_url, pool_min=0) as storage:
            for number in range(20):
                await storage.set("a", number)
                assert await storage.get("a") == number
            assert await connections(postgres_url) == 1
            await asyncio.gather(*(storage.keys() for _ in range(5)))
            assert await connections_become(postgres_url, 0)
            assert await storage.get("a") == 19

    async def test_a_pool_that_has_grown_shrinks_without_a_call(
        self, postgres_url: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr("ad_seller.storage.postgres.pool.IDLE_SECONDS", 0.2)
        async with PostgresBackend(postgres_url, pool_min=1, pool_max=6) as storage:
            await asyncio.gather(*(storage.keys() for _ in range(50)))
            assert await connections(postgres_url) > 1
            assert await connections_become(postgres_url, 1)

    def test_another_event_loop_opens_what_it_needs(self, postgres_url: str) -> None:
        storage = PostgresBackend(postgres_url, pool_min=3)
        asyncio.run(storage.connect())

        async def use() -> int:
            await storage.set("a", 1)
            return await connections(postgres_url)

        assert asyncio.run(use()) == 1
        asyncio.run(storage.disconnect())


class TestPasswords:
    async def test_a_function_is_asked_at_each_new_connection(self) -> None:
        asked = 0

        async def password() -> str:
            nonlocal asked
            asked += 1
            return "right secret"

        def start() -> PostgresServer:
            server = PostgresServer(password="right secret")
            server.start()
            return server

        server = await asyncio.to_thread(start)
        try:
            url = server.url(password="an older secret")
            async with PostgresBackend(url, pool_min=3, password=password) as storage:
                await storage.set("a", 1)
                assert asked >= 3
            async with PostgresBackend(url, password=lambda: "right secret") as storage:
                assert await storage.get("a") == 1
            async with PostgresBackend(url, password="right secret") as storage:
                assert await storage.get("a") == 1
        finally:
            await asyncio.to_thread(server.remove)

    @pytest.mark.parametrize("answer", [None, "", 5, ValueError("secret")])
    async def test_a_function_without_an_answer(self, postgres_url: str, answer: object) -> None:
        def password() -> Any:
            if isinstance(answer, Exception):
                raise answer
            return answer

        with pytest.raises(StorageConnectionError, match="function for the password r") as caught:
            await PostgresBackend(postgres_url, password=password).connect()
        assert "secret" not in str(caught.value)

    async def test_a_function_that_hangs(self, postgres_url: str) -> None:
        async def password() -> str:
            await asyncio.sleep(60)
            return ""

        with pytest.raises(StorageTimeoutError):
            await PostgresBackend(postgres_url, timeout=0.5, password=password).connect()

    def test_what_is_neither_text_nor_function(self) -> None:
        with pytest.raises(ConfigurationError, match="password is a str or a function"):
            PostgresBackend("postgresql://h/d", password=5)  # type: ignore[arg-type]
