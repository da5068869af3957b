"""An index of our table that has the name of one of ours and is of something else: noticed, and made anew."""

from __future__ import annotations

import asyncio
import logging
from contextlib import suppress
from typing import Any

import asyncpg
import pytest

from ad_seller.storage import Index, NamespacedBackend
from ad_seller.storage.postgres.fields import EXPIRY, FIELD_FUNCTION
from ad_seller.storage.postgres.indexes import look
from ad_seller.storage.postgres.schema import _look_at_once
from ad_seller.storage.postgres.statements import TABLE
from ad_seller.storage.postgres_backend import PostgresBackend
from tests.odd_records import EVERY_FIELD
from tests.postgres.support import postgres_engine_of, sql
from tests.postgres.test_index_building import NAMES, list_afresh


async def definitions(url: str) -> dict[str, str]:
    rows = await sql(url, f"SELECT indexname::text, indexdef FROM pg_indexes WHERE tablename = '{TABLE}'")
    return dict(rows)


async def becomes(url: str, wanted: dict[str, str]) -> bool:
    for _ in range(3000):
        with suppress(asyncpg.InternalServerError):  # the server, of an index that is being dropped
            if await definitions(url) == wanted:
                return True
        await asyncio.sleep(0.02)
    return False


ORDERS = "WHERE key >= 'order:' AND key < 'order;'"


@pytest.mark.parametrize(
    "on",
    [
        f"(value, key) {ORDERS}",
        f"({FIELD_FUNCTION}(value, 'state'), key) {ORDERS}",
        f"({FIELD_FUNCTION}(value, 'status'), key) WHERE key >= 'deal:' AND key < 'deal;'",
        f"({FIELD_FUNCTION}(value, 'status'), key DESC) {ORDERS}",
        f"({FIELD_FUNCTION}(value, 'status') text_pattern_ops, key) {ORDERS}",
        f"({FIELD_FUNCTION}(value, 'status') COLLATE \"POSIX\", key) {ORDERS}",
    ],
)
async def test_an_index_of_our_name_over_something_else(
    new_database: str, caplog: pytest.LogCaptureFixture, on: str
) -> None:
    """It was taken for ours: each search walked along the kind, and nothing told of it."""
    caplog.set_level(logging.INFO, "ad_seller.storage")
    async with PostgresBackend(new_database) as storage:
        await storage.set_many({f"order:{n}": {"status": "open", "n": n} for n in range(50)})
        ours = await definitions(new_database)
    name = f"{TABLE}_order_status"
    await sql(new_database, f"DROP INDEX {name}")
    await sql(new_database, f"CREATE INDEX {name} ON {TABLE} {on}")
    assert (await definitions(new_database))[name] != ours[name]
    async with PostgresBackend(new_database, create=False) as storage:
        assert name not in (await list_afresh(storage)).known.valid
    async with PostgresBackend(new_database) as storage:
        await list_afresh(storage)
        assert await becomes(new_database, ours)
        assert (await list_afresh(storage)).known.valid >= NAMES
    assert caplog.text.count(f"dropping the index {name}, which is not what it is to be (CREATE INDEX") == 1


async def test_the_index_that_the_sweep_reads_by(new_database: str) -> None:
    """A unique one would refuse entries that end at the same time."""
    async with PostgresBackend(new_database):
        ours = await definitions(new_database)
    for there in ("", "INDEX {} ON {} (key)", "UNIQUE INDEX {} ON {} (expires_at) WHERE expires_at IS NOT NULL"):
        await sql(new_database, f"DROP INDEX {EXPIRY.name}")
        if there:
            await sql(new_database, "CREATE " + there.format(EXPIRY.name, TABLE))
        async with PostgresBackend(new_database):
            assert await becomes(new_database, ours)


async def test_what_we_made_is_known_again(new_database: str, caplog: pytest.LogCaptureFixture) -> None:
    """Whatever the server makes of the statements: nothing is dropped, also with options of a DBA."""
    caplog.set_level(logging.INFO, "ad_seller.storage")
    indexes = [*EVERY_FIELD, Index("a-b:c_D", "@x.$y:z-1"), Index("event", "session_id", with_key=True)]
    for _ in range(2):
        storage = PostgresBackend(new_database, indexes=indexes)
        async with storage, NamespacedBackend(storage, "a") as inside:
            await inside.set_order("1", {"status": "open"})
            assert await inside.list_orders({"status": "open"}) == [{"status": "open"}]
            building = (await postgres_engine_of(storage))._indexes
            if building._building is not None:
                await building._building
            assert await inside.list_orders({"status": "open"}) == [{"status": "open"}]
            assert not building._missing
            assert (await storage.facts())["missing_indexes"] == []
        await sql(new_database, f"ALTER INDEX {TABLE}_order_status SET (fillfactor = 70)")
    assert "dropping" not in caplog.text


async def test_one_that_is_dropped_meanwhile(new_database: str) -> None:
    """The server cannot describe it and refuses the look; connecting failed with that."""
    async with PostgresBackend(new_database):
        pass
    met = asyncio.Event()

    async def drop(connection: asyncpg.Connection) -> None:
        while not met.is_set():
            await connection.execute(f"CREATE INDEX of_a_dba ON {TABLE} (key, value)")
            await connection.execute("DROP INDEX of_a_dba")

    async def look_again_and_again(connection: asyncpg.Connection) -> None:
        async def fetch(statement: str) -> list[Any]:
            try:
                rows: list[Any] = await connection.fetch(statement)
            except asyncpg.InternalServerError:
                met.set()
                raise
            return rows

        while not met.is_set():
            assert (await look(fetch)).keys() >= NAMES
            assert (await _look_at_once(fetch)).is_ready

    connections = [await asyncpg.connect(new_database) for _ in range(4)]
    asyncio.get_running_loop().call_later(30, met.set)  # whether or not it was met
    await asyncio.gather(drop(connections[0]), *map(look_again_and_again, connections[1:]))
    for connection in connections:
        await connection.close()
