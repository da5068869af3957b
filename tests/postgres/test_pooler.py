"""Behind a pooler, the real PgBouncer where it is installed."""

from __future__ import annotations

import asyncio
from contextlib import AbstractAsyncContextManager
from typing import Any
from urllib.parse import urlsplit, urlunsplit

import asyncpg
import pytest

from ad_seller.storage import ConfigurationError, StorageError, StoreUnavailableError
from ad_seller.storage.postgres_backend import PostgresBackend
from tests.cli.support import run
from tests.postgres.pooler import POOLERS, bouncer, pooled
from tests.postgres.support import postgres_engine_of, sql
from tests.proxy import Proxy


def before(server: str, pooler: str) -> AbstractAsyncContextManager[str]:
    return pooled(server) if pooler == "stand-in" else bouncer(server, pooler)


@pytest.mark.parametrize("options", ["", "?statement_cache=off"], ids=["nothing set", "statements off"])
@pytest.mark.parametrize("pooler", POOLERS)
async def test_everything_works(new_database: str, pooler: str, options: str) -> None:
    async with (
        before(new_database, pooler) as url,
        PostgresBackend(f"{url}{options}") as one,
        PostgresBackend(f"{url}{options}") as two,
    ):
        for number, storage in enumerate((one, two) * 20):
            await storage.set(f"deal:{number}", {"n": number}, ttl=100)
            assert await storage.get(f"deal:{number}") == {"n": number}
            await asyncio.gather(*(storage.increment("n") for storage in (one, two)))
        await asyncio.gather(*(storage.increment("n") for storage in (one, two) * 50))
        assert await one.get("n") == 180
        assert await two.count("deal:*") == 40
        assert len(await one.keys()) == 41
        assert await two.delete_many([f"deal:{n}" for n in range(40)]) == 40
        async with one.transaction() as tx:
            await tx.set("a", 1)
            assert await tx.create("b", 2)
        assert await two.get_many(["a", "b"]) == {"a": 1, "b": 2}


@pytest.mark.parametrize("pooler", POOLERS)
async def test_the_command_line_by_settings_alone(new_database: str, pooler: str) -> None:
    async with before(new_database, pooler) as url:
        env = {"STORAGE_TYPE": "postgres", "DATABASE_URL": url, "POSTGRES_STATEMENT_CACHE": "off"}
        done = await asyncio.to_thread(run, "set", "order:1", "{}", env=env)
        assert done.returncode == 0, done.stderr
        done = await asyncio.to_thread(run, "list", "orders", env=env)
        assert (done.returncode, done.stdout) == (0, "order:1\t{}\n")


async def test_a_pooler_is_noticed(new_database: str) -> None:
    """No setting is needed: nothing is prepared, and no setting of ours is left in sessions of others."""
    async with pooled(new_database, sessions=2) as url, PostgresBackend(url) as storage:
        await asyncio.gather(*(storage.set(f"k:{n}", n) for n in range(50)), *(storage.keys() for _ in range(20)))
        assert await storage.count("k:*") == 50
        assert (await postgres_engine_of(storage))._known.is_pooled
        plain = await asyncpg.connect(url, statement_cache_size=0)
        for _ in range(4):
            assert await plain.fetchval("SHOW enable_seqscan") == "on"
        await plain.close()


async def test_a_pooler_that_comes_between_later_is_noticed(new_database: str) -> None:
    """Sessions after the first are begun with our settings, which saves a round trip; no pooler takes these."""
    with Proxy(urlsplit(new_database).port or 0) as proxy:
        own = urlunsplit(urlsplit(new_database)._replace(netloc=f"postgres@127.0.0.1:{proxy.port}"))
        async with pooled(new_database) as url, PostgresBackend(own, 1, 3) as storage:
            known = (await postgres_engine_of(storage))._known
            assert (known.is_pooled, known.is_direct) == (False, True)
            proxy._server_port = urlsplit(url).port or 0
            await asyncio.gather(*(storage.get(f"k:{n}") for n in range(2_000)), storage.keys(), storage.keys())
            async with asyncio.timeout(20):  # a further session may still be under way when all have their answers
                while (known.is_pooled, known.is_direct) != (True, False):  # noqa: ASYNC110 - nothing tells
                    await asyncio.sleep(0.01)
            await asyncio.gather(*(storage.set(f"k:{n}", n) for n in range(50)))
            assert await storage.count("k:*") == 50


async def test_a_connect_asks_once_and_later_sessions_not_at_all(
    new_database: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with PostgresBackend(new_database):
        pass  # the tables are there
    asked: list[str] = []
    for name in ("fetch", "execute"):
        real = getattr(asyncpg.Connection, name)

        async def counted(self: Any, statement: str, *rest: Any, real: Any = real, name: str = name) -> Any:
            asked.append(name)
            return await real(self, statement, *rest)

        monkeypatch.setattr(asyncpg.Connection, name, counted)
    async with PostgresBackend(new_database, 3, 3) as storage:
        assert asked == ["execute", "fetch"]  # our settings with a look for a pooler; what is there
        for connection in (await postgres_engine_of(storage))._client._pool._all:
            assert await connection._raw.fetchval("SHOW enable_seqscan") == "off"


async def test_an_option_that_a_pooler_does_not_take(new_database: str) -> None:
    async with pooled(new_database) as url:
        with pytest.raises(ConfigurationError, match=r"unsupported startup parameter: search_path.*ALTER ROLE"):
            await PostgresBackend(f"{url}?schema=public").connect()


async def test_statements_that_vanish_are_named_with_the_next_step(postgres_url: str) -> None:
    async with PostgresBackend(postgres_url, 1, 1) as storage:
        await storage.set("a", 1)
        assert await storage.get("a") == 1
        [connection] = (await postgres_engine_of(storage))._client._pool._all
        await connection._raw.execute("DEALLOCATE ALL")  # as a proxy does behind our back
        with pytest.raises(StoreUnavailableError, match=r"prepared statement .* statement_cache=False") as caught:
            await storage.set("a", 2)
        assert isinstance(caught.value.__cause__, asyncpg.InvalidSQLStatementNameError)
        with pytest.raises(StorageError, match="statement_cache=False"):
            await storage.get("a")
    assert [row["value"] for row in await sql(postgres_url, "SELECT value FROM ad_seller_kv")] == ["1"]
