"""Commits that share a batch: each hears its own outcome, and only those who want a locked row wait for it."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import asyncpg
import pytest

from ad_seller.storage import StorageError, StorageTimeoutError, StoreUnavailableError, UnknownOutcomeError
from ad_seller.storage.postgres.statements import TABLE
from ad_seller.storage.postgres_backend import PostgresBackend
from tests.lateness import loop_lateness
from tests.postgres.support import refusing, sql

LARGE = "x" * (9 * 1024 * 1024)  #: two of these are more than one call carries


@asynccontextmanager
async def locked(url: str, statement: str) -> AsyncIterator[None]:
    """Hold what ``statement`` locks in another session's transaction, which is rolled back."""
    other = await asyncpg.connect(url)
    transaction = other.transaction()
    await transaction.start()
    await other.execute(statement)
    try:
        yield
    finally:
        await transaction.rollback()
        await other.close()


async def one_waits(url: str) -> None:
    """Wait until the server says that a session waits for another one's lock."""
    waiting = (
        "SELECT FROM pg_stat_activity WHERE datname = current_database() AND cardinality(pg_blocking_pids(pid)) > 0"
    )
    async with asyncio.timeout(30):
        while not await sql(url, waiting):  # noqa: ASYNC110 - nothing tells
            await asyncio.sleep(0.005)


def row(key: str) -> str:
    return f"SELECT FROM {TABLE} WHERE key = '{key}' FOR UPDATE"


class TestSplitBatch:
    FULL = "RAISE 'could not extend file: No space left on device' USING errcode = '53100'"

    async def test_a_later_call_that_is_refused_does_not_hide_what_the_first_did(self, postgres_url: str) -> None:
        async with PostgresBackend(postgres_url, timeout=20) as storage:
            async with refusing(postgres_url, "new.key = 'second'", self.FULL):
                first, count, second = await asyncio.gather(
                    storage.set("first", LARGE),
                    storage.increment("count"),
                    storage.set("second", LARGE),
                    return_exceptions=True,
                )
            assert (first, count) == (None, 1)
            assert isinstance(second, StoreUnavailableError)
            assert second.key == "second"
            assert await storage.keys() == ["count", "first"]

    async def test_a_later_call_that_is_lost(self, postgres_url: str) -> None:
        async with PostgresBackend(postgres_url, timeout=20) as storage:
            end = "PERFORM pg_terminate_backend(pg_backend_pid())"
            async with refusing(postgres_url, "new.key = 'second'", end):
                first, second = await asyncio.gather(
                    storage.set("first", LARGE), storage.set("second", LARGE), return_exceptions=True
                )
            assert first is None
            assert isinstance(second, UnknownOutcomeError)
            assert await storage.get("first") == LARGE


class TestRefused:
    async def test_one_key_that_a_trigger_refuses(self, postgres_url: str) -> None:
        async with PostgresBackend(postgres_url) as storage:
            await storage.set("old", 1)
            async with refusing(postgres_url, "new.key LIKE 'no:%'", "RAISE 'not this key'"):
                calls = [storage.set(f"{'no' if n in (7, 30) else 'yes'}:{n}", n) for n in range(40)]
                answers = await asyncio.gather(
                    *calls, storage.create("no:1", 1), storage.delete("old"), return_exceptions=True
                )
            refused = [answer for answer in answers if isinstance(answer, StorageError)]
            assert {error.key for error in refused} == {"no:7", "no:30", "no:1"}
            assert answers[-1] is True
            assert await storage.count("yes:*") == 38
            assert await storage.count("no:*") == 0
            assert not await storage.exists("old")


class TestLockedRow:
    @pytest.mark.parametrize("connections", [(1, 1), (1, 2), (2, 10)])
    async def test_only_those_who_want_it_wait(self, postgres_url: str, connections: tuple[int, int]) -> None:
        async with PostgresBackend(postgres_url, *connections, timeout=2.0) as storage:
            await storage.set_many({"held": 0, "other": 0})
            slowest, written, failed = 0.0, 0, 0

            async def want(end: float) -> None:
                nonlocal failed
                while time.perf_counter() < end:
                    with pytest.raises(StorageTimeoutError, match="Nothing was written"):
                        await storage.set("held", 1)
                    failed += 1

            async def write(number: int, end: float) -> None:
                nonlocal slowest, written
                while (began := time.perf_counter()) < end:
                    await storage.increment(f"n:{number}")
                    slowest = max(slowest, time.perf_counter() - began)
                    written += 1

            async with locked(postgres_url, row("held")):
                end = time.perf_counter() + 3.0
                async with loop_lateness() as lateness:
                    await asyncio.gather(want(end), *(write(n, end) for n in range(10)))
            assert failed >= 1
            assert written > 100
            assert slowest < 1.0 + sum(lateness), "nobody else runs into a time-out"
            assert await storage.get("held") == 0
            await storage.set("held", 2)

    async def test_those_who_wait_go_on_in_the_order_of_their_calls(self, postgres_url: str) -> None:
        async with PostgresBackend(postgres_url) as storage:
            await storage.set_many({"held": 0, "beside": 0})
            async with locked(postgres_url, row("held")):
                waiting = [asyncio.create_task(storage.set("held", number)) for number in range(1, 30)]
                both = asyncio.create_task(storage.set_many({"held": 30, "beside": 30}))
                await one_waits(postgres_url)
                await asyncio.sleep(0.3)
                after = asyncio.create_task(storage.set("beside", 31))
                last = asyncio.create_task(storage.increment("held"))
                await asyncio.sleep(0.3)
                assert not any(task.done() for task in (*waiting, both, after, last))
            await asyncio.gather(*waiting, both, after)
            assert await last == 31
            assert await storage.get_many(["held", "beside"]) == {"held": 31, "beside": 31}

    async def test_a_row_that_nobody_sees_yet(self, postgres_url: str) -> None:
        async with PostgresBackend(postgres_url, timeout=4.0) as storage:
            await storage.set("a", 0)
            async with locked(postgres_url, f"INSERT INTO {TABLE} (key, value) VALUES ('new', '1')"):
                waiting = asyncio.create_task(storage.create("new", 2))
                await asyncio.gather(*(storage.set(f"k:{n}", n) for n in range(20)))
                await asyncio.sleep(0.5)
                assert not waiting.done()
            assert await waiting is True
            assert await storage.get("new") == 2

    async def test_who_gives_up_before_it_was_sent_writes_nothing(self, postgres_url: str) -> None:
        async with PostgresBackend(postgres_url) as storage:
            await storage.set("held", 0)
            async with locked(postgres_url, row("held")):
                first = asyncio.create_task(storage.set("held", 1))
                await one_waits(postgres_url)
                second = asyncio.create_task(storage.set("held", 2))
                await asyncio.sleep(0.1)
                second.cancel()
                await asyncio.wait([second])
            await first
            assert await storage.get("held") == 1

    async def test_disconnecting_meanwhile(self, postgres_url: str) -> None:
        storage = PostgresBackend(postgres_url, timeout=2.0)
        await storage.connect()
        await storage.set("held", 0)
        async with locked(postgres_url, row("held")):
            waiting = asyncio.create_task(storage.set("held", 1))
            await one_waits(postgres_url)
            await storage.disconnect()
            with pytest.raises(StorageTimeoutError):
                await waiting

    def test_an_event_loop_that_ends_meanwhile(self, postgres_url: str) -> None:
        storage = PostgresBackend(postgres_url)
        left: list[asyncio.Task[None]] = []

        async def leave() -> None:
            await storage.connect()
            await storage.set("held", 0)
            async with locked(postgres_url, row("held")):
                left.append(asyncio.create_task(storage.set("held", 1)))
                await asyncio.sleep(0.3)

        async def again() -> object:
            async with storage:
                return await storage.get("held")

        asyncio.run(leave())
        assert asyncio.run(again()) in (0, 1)
