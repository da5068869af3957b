"""Several hosts in one URL: calls go on where one of them is silent, or takes no writes any more."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from urllib.parse import urlsplit

import pytest

from ad_seller.storage import StorageError, StoreUnavailableError
from ad_seller.storage.postgres import client
from ad_seller.storage.postgres.login import Known, Login
from ad_seller.storage.postgres.url import dsn_of_each_host, parse_postgres_url
from ad_seller.storage.postgres_backend import PostgresBackend
from ad_seller.storage.testing.postgres_server import PostgresServer
from tests.postgres.support import sql


@pytest.fixture
def other_postgres() -> Iterator[PostgresServer]:
    with PostgresServer() as server:
        yield server


async def url_of_both(first: PostgresServer, second: PostgresServer) -> str:
    """A URL of two servers that both have our tables."""
    for server in (first, second):
        async with PostgresBackend(server.url()):
            pass
    one, two = (urlsplit(server.url()) for server in (first, second))
    return one._replace(netloc=f"{one.netloc},{two.hostname}:{two.port}").geturl()


async def test_a_host_that_is_silent_keeps_nobody_from_the_next(
    own_postgres: PostgresServer, other_postgres: PostgresServer
) -> None:
    url = await url_of_both(own_postgres, other_postgres)
    async with PostgresBackend(url, timeout=4) as storage:
        await storage.set("a", 1)
        own_postgres.freeze()
        with pytest.raises(StorageError):  # over the sessions that there were
            await storage.get("a")
        await storage.set("a", 2)
        assert await storage.get("a") == 2
        assert (await sql(other_postgres.url(), "SELECT value FROM ad_seller_kv"))[0]["value"] == "2"


async def test_the_first_connect_finds_the_host_that_answers(
    own_postgres: PostgresServer, other_postgres: PostgresServer
) -> None:
    url = await url_of_both(own_postgres, other_postgres)
    own_postgres.freeze()
    async with PostgresBackend(url, timeout=4) as storage:
        await storage.set("a", 1)


async def test_a_server_that_became_a_standby_is_left(
    own_postgres: PostgresServer, other_postgres: PostgresServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its sessions go on, as after some failovers, so each call would meet it again."""
    monkeypatch.setattr(client, "_YOUNG", 0.0)
    async with PostgresBackend(await url_of_both(own_postgres, other_postgres)) as storage:
        await storage.set("a", 1)
        await sql(own_postgres.url(), "ALTER SYSTEM SET default_transaction_read_only = on")
        await sql(own_postgres.url(), "SELECT pg_reload_conf()")
        with pytest.raises(StoreUnavailableError, match="read-only"):
            await until_refused(storage)
        await storage.set("a", 2)
        assert (await sql(other_postgres.url(), "SELECT value FROM ad_seller_kv"))[0]["value"] == "2"


async def until_refused(storage: PostgresBackend) -> None:
    """Write until the sessions have read their new settings."""
    async with asyncio.timeout(10):
        while True:
            await storage.set("a", 1)


@pytest.mark.parametrize(
    ("url", "hosts"),
    [
        ("postgresql://u:p@h/d", ["postgresql://u:p@h/d"]),
        (
            "postgresql://u:p%40@[::1]:1,[::1]:2/d?schema=s",  # newer Pythons read no mixed list
            [
                f"postgresql://u:p%40@[::1]:{port}/d?search_path=s&target_session_attrs=read-write"
                for port in (1, 2)
            ],
        ),
        (
            "postgresql://u@/d?host=a,b",
            [f"postgresql://u@/d?host={host}&target_session_attrs=read-write" for host in "ab"],
        ),
        ("postgresql://u@/d?host=/tmp", ["postgresql://u@/d?host=%2Ftmp"]),
        (
            "postgresql://h,k/d?target_session_attrs=prefer-standby",
            ["postgresql://h,k/d?target_session_attrs=prefer-standby"],
        ),
        (
            "postgresql:///d?host=a,b&port=1,2",
            ["postgresql:///d?host=a%2Cb&port=1%2C2&target_session_attrs=read-write"],
        ),
    ],
)
def test_each_host_has_a_url(url: str, hosts: list[str]) -> None:
    assert list(dsn_of_each_host(parse_postgres_url(url))) == hosts


def test_the_host_that_took_the_last_session_is_the_first() -> None:
    login = Login("postgresql://a,b,c/d", password=None, timeout=1, statement_cache=None, known=Known())
    first, second, third = login.dsns
    login.meet_host(third)
    assert login.dsns == [third, first, second]


def test_a_list_of_ports_in_the_environment_is_left_to_the_driver(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PGPORT", "5432,5433")
    assert dsn_of_each_host("postgresql://h,k/d") == ("postgresql://h,k/d",)


async def test_the_function_for_the_password_is_asked_once_for_all_hosts(
    own_postgres: PostgresServer, other_postgres: PostgresServer
) -> None:
    """A host's share of the time may be shorter than it takes."""
    asked = 0

    async def password() -> str:
        nonlocal asked
        asked += 1
        await asyncio.sleep(2.5)
        return "secret"

    url = await url_of_both(own_postgres, other_postgres)
    async with PostgresBackend(url, timeout=4, password=password, pool_min=1) as storage:
        await storage.set("a", 1)
    assert asked
