"""A server that accepts connections and ends them again: callers hear of it, and nobody goes on without a pause."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, get_args
from urllib.parse import urlsplit, urlunsplit

import pytest

from ad_seller.storage import StorageConnectionError
from ad_seller.storage.driver import LostError, NotSentError
from ad_seller.storage.postgres.client import PostgresClient
from ad_seller.storage.postgres.connection import Connection
from ad_seller.storage.postgres.login import Known, Login
from ad_seller.storage.postgres.pool import PostgresPool
from ad_seller.storage.postgres.waiting import NoneFreeError
from ad_seller.storage.postgres_backend import PostgresBackend
from tests.postgres.dying import DyingServer, Step, dying
from tests.postgres.support import sql
from tests.postgres.test_failures import END_ALL
from tests.proxy import Proxy


@asynccontextmanager
async def client_of(server: DyingServer) -> AsyncIterator[PostgresClient]:
    dsn = f"postgresql://nobody@127.0.0.1:{server.port}/nothing"
    login = Login(dsn, password=None, timeout=4, statement_cache=None, known=Known())
    client = PostgresClient(login, least=0, most=10, timeout=4)
    yield client
    await client.close()


async def failure(client: PostgresClient, after: float = 0.0) -> Exception:
    await asyncio.sleep(after)
    with pytest.raises((NotSentError, LostError)) as caught:
        await client.read("SELECT 1")
    return caught.value


@pytest.mark.parametrize("step", [step for step in get_args(Step) if step != "set up"])
async def test_no_session_is_tried_after_the_other(step: Step) -> None:
    async with dying(step) as server, client_of(server) as client:
        failures = await asyncio.gather(*(failure(client, number / 100) for number in range(8)))
        assert not [error for error in failures if isinstance(error.__cause__, NoneFreeError)]
        assert server.sessions <= 24  # a read that was lost is tried once more


async def test_callers_hear_of_attempts_that_fail_one_after_the_other() -> None:
    """Whoever came back into the queue was told by no attempt that had begun before, and there always was one."""
    async with dying("accepted", 0.2) as server, client_of(server) as client:
        failures = await asyncio.gather(*(failure(client, number / 50) for number in range(16)))
        assert not [error for error in failures if isinstance(error.__cause__, NoneFreeError)]
        assert server.sessions <= 32  # not one after the other, ten at a time, as long as the callers wait


@pytest.mark.parametrize("callers", [1, 8])
async def test_sessions_that_end_before_they_are_used_are_begun_with_a_pause(callers: int) -> None:
    """Whoever waits is told nothing: the next one may last."""
    async with dying("set up") as server, client_of(server) as client:
        failures = await asyncio.gather(*(failure(client) for _ in range(callers)))
        assert {type(error.__cause__) for error in failures} == {NoneFreeError}
        assert 5 < server.sessions <= 60


async def test_calls_that_wait_go_on_as_soon_as_sessions_last(new_database: str) -> None:
    parts = urlsplit(new_database)
    async with dying("set up") as server:
        server.healthy = parts.port or 0
        url = urlunsplit(parts._replace(netloc=f"postgres@127.0.0.1:{server.port}"))
        async with PostgresBackend(url, 1, 4, timeout=20) as storage:
            server.healthy = 0
            await sql(new_database, END_ALL)
            calls = [
                storage.get("a"),
                storage.set("b", 1),
                storage.increment("n"),
                storage.keys(),
                storage.get("a"),
            ]
            waiting = [asyncio.ensure_future(call) for call in calls]
            begun = server.sessions
            while server.sessions < begun + 4:  # noqa: ASYNC110 - nothing tells
                await asyncio.sleep(0.01)
            server.healthy = parts.port or 0
            await asyncio.gather(*waiting)
            assert await storage.get_many(["b", "n"]) == {"b": 1, "n": 1}
            assert server.sessions <= begun + 12


async def test_one_refusal_strands_nobody(new_database: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """With a pause all who wait share one attempt; when that is refused, each has one of its own again."""
    login = Login(new_database, password=None, timeout=4, statement_cache=None, known=Known())
    pool = PostgresPool(login, least=0, most=10, timeout=4)
    now = asyncio.get_running_loop().time
    held = await pool.acquire(now() + 4, first=False)  # while one is alive, a refusal is told to nobody
    pool._pause.lengthen()  # a session had ended before it was used
    refusals, opened = ["too many clients"], Connection.open

    async def refused_once(*arguments: Any) -> Connection:
        if refusals:
            raise NotSentError(refusals.pop())
        return await opened(*arguments)

    monkeypatch.setattr(Connection, "open", refused_once)
    got = await asyncio.gather(*(pool.acquire(now() + 3, first=False) for _ in range(5)))
    assert len({held, *got}) == 6
    for connection in (held, *got):
        pool.release(connection)
    await pool.close()


async def test_writes_hear_of_it_as_reads_do(new_database: str) -> None:
    async with dying("accepted") as server:
        with Proxy(urlsplit(new_database).port or 0) as proxy:
            url = urlunsplit(urlsplit(new_database)._replace(netloc=f"postgres@127.0.0.1:{proxy.port}"))
            async with PostgresBackend(url, 1, 4) as storage:
                proxy._server_port = server.port
                await sql(new_database, END_ALL)
                calls: list[Any] = [storage.get("a"), storage.set("a", 1), storage.increment("n"), storage.keys()]
                answers = await asyncio.gather(*calls, return_exceptions=True)
                assert {type(answer) for answer in answers} <= {StorageConnectionError}, answers
                proxy._server_port = urlsplit(new_database).port or 0
                await storage.set("a", 1)
                assert await storage.get("a") == 1
