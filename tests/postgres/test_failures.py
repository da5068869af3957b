"""A server that freezes, restarts or ends sessions, and callers who give up."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable
from pathlib import Path
from typing import Any

import asyncpg
import pytest

from ad_seller.storage import (
    StorageConnectionError,
    StorageError,
    StorageTimeoutError,
    StoreUnavailableError,
    UnknownOutcomeError,
)
from ad_seller.storage.postgres.statements import TABLE
from ad_seller.storage.postgres_backend import PostgresBackend
from ad_seller.storage.testing.postgres_server import PostgresServer
from tests.lateness import loop_lateness
from tests.postgres.support import connections, connections_become, sql
from tests.unread import more_unread, unread

#: Seconds, below the time-out of 5 s that a call would run into.
TOLERANCE = 4.0

END_ALL = (
    "SELECT pid, pg_terminate_backend(pid) FROM pg_stat_activity "
    "WHERE datname = current_database() AND pid <> pg_backend_pid() AND backend_type = 'client backend'"
)


async def ended(call: Awaitable[Any]) -> tuple[float, Any]:
    """How long a call takes, and what it returns or raises."""
    started = time.perf_counter()
    try:
        result = await call
    except StorageError as error:
        result = error
    return time.perf_counter() - started, result


def operations(storage: PostgresBackend) -> list[Awaitable[Any]]:
    return [
        storage.get("a"),
        storage.set("a", 1),
        storage.delete("b"),
        storage.keys(),
        storage.count(),
        storage.scan("x*"),
        storage.exists("a"),
        storage.ttl("a"),
        storage.get_many(["a", "b"]),
        storage.increment("n"),
        storage.cleanup_expired(),
    ]


@pytest.fixture
async def storage(postgres_url: str) -> AsyncIterator[PostgresBackend]:
    async with PostgresBackend(postgres_url) as storage:
        await storage.set("a", 1)
        yield storage


class TestFrozen:
    async def test_every_call_fails_in_time_and_the_next_one_after_it_succeeds(
        self, own_postgres: PostgresServer
    ) -> None:
        timeout = 2.0
        async with PostgresBackend(own_postgres.url(), timeout=timeout) as storage:
            await storage.set("a", 1)

            async def later(number: int) -> tuple[float, Any]:
                await asyncio.sleep(number * timeout / 40)
                return await ended(storage.set("b", 1) if number % 2 else storage.get("b"))

            own_postgres.freeze()
            for _ in range(2):  # with connections that were there before, and without
                async with loop_lateness() as lateness:
                    answers = await asyncio.gather(
                        *map(ended, operations(storage)), *(later(number) for number in range(40))
                    )
                for seconds, result in answers:
                    assert isinstance(result, StorageTimeoutError | UnknownOutcomeError), result
                    assert seconds <= timeout + sum(lateness)
            own_postgres.thaw()
            for seconds, result in await asyncio.gather(*map(ended, operations(storage))):
                assert not isinstance(result, StorageError), result
                assert seconds <= timeout

    async def test_calls_that_wait_go_on_when_the_server_does(self, own_postgres: PostgresServer) -> None:
        async with PostgresBackend(own_postgres.url()) as storage:
            await storage.set("a", 1)
            own_postgres.freeze()
            calls = [asyncio.create_task(ended(call)) for call in operations(storage)]
            await asyncio.sleep(0.5)
            own_postgres.thaw()
            for seconds, result in await asyncio.gather(*calls):
                assert not isinstance(result, StorageError), result
                assert seconds < TOLERANCE

    async def test_a_write_that_was_sent_has_an_unknown_outcome_and_one_that_was_not_has_none(
        self, own_postgres: PostgresServer
    ) -> None:
        async with PostgresBackend(own_postgres.url(), timeout=0.5) as storage:
            await storage.set("a", 1)
            own_postgres.freeze()
            before = unread(own_postgres.port)
            large = "x" * 50_000
            sent = asyncio.create_task(ended(storage.set("a", large)))
            await more_unread(own_postgres.port, before, 10_000)  # and not what opens a connection
            await asyncio.sleep(0.1)
            queued = asyncio.create_task(ended(storage.set("b", 2)))
            for (_, result), kind in ((await sent, UnknownOutcomeError), (await queued, StorageTimeoutError)):
                assert isinstance(result, kind)
                assert result.key in ("a", "b")
            own_postgres.thaw()
            assert await storage.get("a") in (1, large)
            assert await storage.get("b") is None

    async def test_all_who_want_to_hear_learn_from_one_that_they_cannot(self, own_postgres: PostgresServer) -> None:
        async with PostgresBackend(own_postgres.url()) as storage:
            assert await storage._hears("")
            own_postgres.freeze()
            async with asyncio.timeout(10):  # each looks for a second
                assert not any(await asyncio.gather(*(storage._hears("") for _ in range(20))))
            own_postgres.thaw()
            assert await storage._hears("")

    async def test_connect_and_disconnect_end(self, own_postgres: PostgresServer) -> None:
        connected = PostgresBackend(own_postgres.url())
        await connected.connect()
        own_postgres.freeze()
        seconds, result = await ended(PostgresBackend(own_postgres.url(), timeout=0.5).connect())
        assert isinstance(result, StorageTimeoutError)
        assert seconds < TOLERANCE
        seconds, result = await ended(connected.disconnect())
        assert result is None
        assert seconds < TOLERANCE
        own_postgres.thaw()
        assert await connections_become(own_postgres.url(), 0)


class TestRestart:
    async def test_calls_succeed_again_without_connecting(self, own_postgres: PostgresServer) -> None:
        async with PostgresBackend(own_postgres.url()) as storage:
            await storage.set("a", 1)
            for how in (own_postgres.stop, own_postgres.shut_down_immediately, own_postgres.kill):
                await asyncio.to_thread(how)
                for seconds, result in await asyncio.gather(*map(ended, operations(storage))):
                    assert isinstance(result, StorageConnectionError | UnknownOutcomeError), result
                    assert isinstance(result, ConnectionError)
                    assert seconds < TOLERANCE
                await asyncio.to_thread(own_postgres.start)
                for _, result in await asyncio.gather(*map(ended, operations(storage))):
                    assert not isinstance(result, StorageError), result

    async def test_who_listens_keeps_nobody_waiting_for_a_server_that_is_gone(
        self, own_postgres: PostgresServer
    ) -> None:
        async with PostgresBackend(own_postgres.url(), timeout=2 * TOLERANCE) as storage:
            assert await storage._hears("")
            await asyncio.to_thread(own_postgres.kill)
            for seconds, result in await asyncio.gather(*map(ended, operations(storage))):
                assert isinstance(result, StorageConnectionError | UnknownOutcomeError), result
                assert seconds < TOLERANCE
            await asyncio.to_thread(own_postgres.start)
            assert await storage.get("a") is None

    async def test_restart_between_two_calls_is_not_noticed(self, own_postgres: PostgresServer) -> None:
        async with PostgresBackend(own_postgres.url()) as storage:
            for number in range(3):
                await storage.set("a", number)
                await asyncio.to_thread(own_postgres.restart)
                assert await storage.get("a") == number

    async def test_all_acknowledged_writes_survive_ten_immediate_shutdowns(
        self, own_postgres: PostgresServer
    ) -> None:
        acknowledged: dict[str, int] = {}
        counted = unknown = 0

        async def write(storage: PostgresBackend, name: str, end: asyncio.Event) -> None:
            nonlocal counted, unknown
            number = acknowledged.get(name, 0)
            while not end.is_set():
                number += 1
                try:
                    await storage.set(name, number)
                    acknowledged[name] = number
                    await storage.increment("count")
                    counted += 1
                except UnknownOutcomeError as error:
                    unknown += error.key == "count"
                except (StorageConnectionError, StoreUnavailableError):
                    await asyncio.sleep(0.01)

        async with PostgresBackend(own_postgres.url()) as storage:
            for _ in range(10):
                end = asyncio.Event()
                writers = [asyncio.create_task(write(storage, f"deal:{name}", end)) for name in range(20)]
                enough = counted + 40
                while counted < enough:  # noqa: ASYNC110 - nothing tells
                    await asyncio.sleep(0.01)
                await asyncio.to_thread(own_postgres.shut_down_immediately)
                end.set()
                await asyncio.gather(*writers)
                await asyncio.to_thread(own_postgres.start)
                found = await storage.get_many(acknowledged)
                assert all(found[name] >= number for name, number in acknowledged.items())
                count = await storage.get("count")
                assert count is not None
                assert counted <= count <= counted + unknown
        assert counted >= 400


class TestEndedSessions:
    async def test_idle_sessions_that_the_server_ends_fail_no_call(
        self, storage: PostgresBackend, postgres_url: str
    ) -> None:
        for pause in (0, 0, 0, 0.001, 0.1):
            await asyncio.gather(*operations(storage))
            while await connections(postgres_url):  # one that was being opened may come late
                await sql(postgres_url, END_ALL)
            await asyncio.sleep(pause)
            await asyncio.gather(*operations(storage))

    async def test_a_blocked_event_loop_does_not_matter(self, storage: PostgresBackend, postgres_url: str) -> None:
        connection = await asyncpg.connect(postgres_url)
        for _ in range(5):
            for pid, _ in await connection.fetch(END_ALL):
                while Path(f"/proc/{pid}").exists():  # the news comes in while nothing is read
                    time.sleep(0.005)
            await storage.set("a", 2)
            assert await storage.get("a") == 2
        await connection.close()

    async def test_a_session_that_ends_in_the_middle_fails_no_read(
        self, storage: PostgresBackend, postgres_url: str
    ) -> None:
        stop = asyncio.Event()

        async def end_again_and_again() -> None:
            for _ in range(20):
                await sql(postgres_url, END_ALL)
                await asyncio.sleep(0.02)
            stop.set()

        async def read() -> None:
            while not stop.is_set():
                assert await storage.get("a") == 1

        ending = asyncio.create_task(end_again_and_again())
        results = await asyncio.gather(*(read() for _ in range(20)), return_exceptions=True)
        await ending
        failures = [result for result in results if result is not None]
        assert all(isinstance(failure, StorageConnectionError) for failure in failures)
        assert await storage.get("a") == 1


class TestLocksOfOthers:
    async def test_a_long_transaction_is_waited_for_and_then_named(self, postgres_url: str) -> None:
        async with PostgresBackend(postgres_url, timeout=1.0) as storage:
            await storage.set("a", 1)
            other = await asyncpg.connect(postgres_url)
            transaction = other.transaction()
            await transaction.start()
            await other.execute(f"UPDATE {TABLE} SET value = '2' WHERE key = 'a'")
            waiting = asyncio.create_task(storage.set("a", 3))
            assert await storage.get("a") == 1, "readers do not wait"
            seconds, result = await ended(storage.set("a", 4))
            assert isinstance(result, StorageTimeoutError)
            assert "Nothing was written" in str(result)
            assert seconds < TOLERANCE
            await asyncio.gather(waiting, return_exceptions=True)
            await transaction.commit()
            assert await storage.get("a") == 2
            await storage.set("a", 5)
            await other.close()

    async def test_sweeping_passes_over_what_others_hold(self, postgres_url: str) -> None:
        async with PostgresBackend(postgres_url, sweep_interval=None) as storage:
            await storage.set_many({f"old:{n}": n for n in range(10)}, ttl=0.01)
            await asyncio.sleep(0.05)
            other = await asyncpg.connect(postgres_url)
            transaction = other.transaction()
            await transaction.start()
            await other.execute(f"SELECT FROM {TABLE} WHERE key = 'old:3' FOR UPDATE")
            assert await storage.cleanup_expired() == 9
            await transaction.rollback()
            await other.close()
            assert await storage.cleanup_expired() == 1
