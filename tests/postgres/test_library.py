"""What asyncpg keeps to itself and `postgres.library` uses, in the version that is installed."""

from __future__ import annotations

import asyncio
import gc
import os
import select
from collections.abc import Callable
from typing import Any

import asyncpg
import pytest
import uvloop

from ad_seller.storage.postgres.library import forget_closed_loop, had_ended_before, own_socket, security_of
from ad_seller.storage.postgres_backend import PostgresBackend

RUNNERS: dict[str, Callable[[Any], Any]] = {"asyncio": asyncio.run, "uvloop": uvloop.run}


@pytest.fixture(params=sorted(RUNNERS))
def run(request: pytest.FixtureRequest) -> Callable[[Any], Any]:
    return RUNNERS[request.param]


def test_a_socket_of_our_own(postgres_url: str, run: Callable[[Any], Any]) -> None:
    async def work() -> None:
        raw = await asyncpg.connect(postgres_url)
        ours = own_socket(raw)
        assert ours.getpeername()[1] == int(postgres_url.rpartition(":")[2].partition("/")[0])
        assert ours.fileno() not in (-1, raw._transport.get_extra_info("socket").fileno())
        assert not os.get_inheritable(ours.fileno())
        ours.close()
        assert await raw.fetchval("SELECT 1") == 1, "the connection has its own descriptor"
        await raw.close()

    run(work())


def test_a_connection_without_tls(postgres_url: str, run: Callable[[Any], Any]) -> None:
    async def work() -> None:
        raw = await asyncpg.connect(postgres_url)
        assert security_of(raw) is False
        await raw.close()

    run(work())


async def test_the_news_of_the_end_is_told_from_a_loss(postgres_url: str) -> None:
    raw = await asyncpg.connect(postgres_url)
    ours = own_socket(raw)
    poll = select.poll()
    poll.register(ours.fileno(), select.POLLIN)
    assert not poll.poll(0)
    other = await asyncpg.connect(postgres_url)
    await other.fetchval("SELECT pg_terminate_backend($1)", raw.get_server_pid())
    assert poll.poll(1000)
    await other.close()
    with pytest.raises((asyncpg.PostgresError, asyncpg.InterfaceError, asyncpg.InternalClientError)) as caught:
        await raw.fetchval("SELECT 1")
    assert had_ended_before(caught.value) is isinstance(caught.value, asyncpg.InternalClientError)
    raw.terminate()
    ours.close()


async def test_who_reads_then_asks_on_another_connection(
    postgres_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    prepare, ended = asyncpg.Connection._get_statement, 0

    async def ends(raw: Any, *arguments: Any, **terms: Any) -> Any:
        nonlocal ended
        statement = await prepare(raw, *arguments, **terms)
        if ended < 1:
            ended += 1
            raw.terminate()
        return statement

    async with PostgresBackend(postgres_url) as store:
        await store.set("a", 1)
        monkeypatch.setattr(asyncpg.Connection, "_get_statement", ends)
        assert await store.get("a") == 1
        ended = 0
        await store.set("a", 2)
        assert (await store.get("a"), ended) == (2, 1)


@pytest.mark.filterwarnings("ignore:unclosed (resource|transport|<socket)")  # the loop's own
def test_a_connection_of_a_closed_loop_goes_without_a_word_of_asyncpg(
    postgres_url: str, run: Callable[[Any], Any]
) -> None:
    async def work() -> Any:
        return await asyncpg.connect(postgres_url)

    raw = run(work())
    forget_closed_loop(raw)
    assert raw.is_closed()
    del raw  # an "unclosed connection" would be a warning, which is an error here
    gc.collect()
