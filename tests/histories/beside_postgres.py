"""Faults of a PostgreSQL server that look themselves whether somebody is harmed."""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from functools import partial

import asyncpg

from ad_seller.storage import StorageBackend
from ad_seller.storage.postgres.statements import TABLE
from ad_seller.storage.postgres_backend import PostgresBackend
from ad_seller.storage.testing.postgres_server import PostgresServer
from tests.proxy import Proxy

from .beside import TIMEOUT, dropped, own_name, refused_neighbour, split_batch
from .clients import Clients
from .faults import Fault
from .operations import Keys


def beside_postgres(server: PostgresServer, proxy: Proxy) -> dict[str, Fault]:
    """Return those of a PostgreSQL server behind a proxy."""
    through = server.url().replace(f":{server.port}/", f":{proxy.port}/")
    open_store = partial(PostgresBackend, server.url(), 1, 2)
    return {
        "split batch": split_batch(open_store, server.kill, server.start),
        "refused neighbour": refused_neighbour(open_store, partial(_with_trigger, server)),
        "locked row": locked_row(server),
        "dropped connections": dropped(proxy, partial(PostgresBackend, through, 1, 4)),
    }


@asynccontextmanager
async def _with_trigger(server: PostgresServer, prefix: str) -> AsyncIterator[None]:
    session = await asyncpg.connect(server.url())
    try:
        await session.execute(
            "CREATE OR REPLACE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS "
            f"$$ BEGIN IF starts_with(new.key, '{prefix}') THEN RAISE 'not this key'; END IF; RETURN new; END $$"
        )
        await session.execute(
            f"CREATE TRIGGER refuse BEFORE INSERT OR UPDATE ON {TABLE} FOR EACH ROW EXECUTE FUNCTION refuse()"
        )
        yield
    finally:
        await session.execute("DROP FUNCTION IF EXISTS refuse CASCADE")
        await session.close()


# --- a locked row ----------------------------------------------------------------------------------------


def locked_row(server: PostgresServer) -> Fault:
    """Return the fault that another session holds two rows, one of the clients' and one that only we want.

    Whoever wants another row goes on meanwhile; who wants it, goes on afterwards.
    """

    def run(clients: Clients, chance: random.Random) -> None:
        asyncio.run(_lock(server.url(), clients.keys, chance))

    return run


async def _lock(url: str, keys: Keys, chance: random.Random) -> None:
    held, other = (f"{own_name()}:{part}" for part in ("held", "other"))
    theirs = chance.choice((keys.registers[0], keys.counters[0], keys.pairs[0][0]))
    async with PostgresBackend(url, 1, 4, timeout=TIMEOUT) as store:
        await store.set_many({held: 0, other: 0})
        session = await asyncpg.connect(url)
        try:
            async with session.transaction():
                await session.execute(f"SELECT FROM {TABLE} WHERE key IN ($1, $2) FOR UPDATE", held, theirs)
                waiting = [asyncio.create_task(store.set(held, number)) for number in (1, 2)]
                await asyncio.sleep(0.3)
                counted = await _count_up(store, other, chance.choice((0.1, 0.5, 1.0)))
                assert not any(task.done() for task in waiting), "the row was locked"
        finally:
            await session.close()
        assert counted > 0, "who wanted another row had to wait for the locked one"
        await asyncio.gather(*waiting)
        assert await store.get_many([held, other]) == {held: 2, other: counted}
        await store.delete_many([held, other])


async def _count_up(store: StorageBackend, key: str, seconds: float) -> int:
    """Return how often a counter was incremented in so many seconds."""
    counted = 0
    until = time.monotonic() + seconds
    with suppress(TimeoutError):
        async with asyncio.timeout(seconds + 3):  # below that of the calls
            while time.monotonic() < until:
                counted = await store.increment(key)
    return counted
