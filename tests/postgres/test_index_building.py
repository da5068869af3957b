"""The indexes of fields are built beside the work, once, and again where that was cut off."""

from __future__ import annotations

import asyncio
import logging
from typing import Any

import asyncpg
import pytest

from ad_seller.storage import Index
from ad_seller.storage.postgres.connection import Connection
from ad_seller.storage.postgres.fields import EXPIRY, FIELD_FUNCTION, UNASKED, Declared
from ad_seller.storage.postgres.indexes import _LOCK, FieldIndexes, build
from ad_seller.storage.postgres.statements import TABLE
from ad_seller.storage.postgres_backend import PostgresBackend
from tests.postgres.support import postgres_engine_of, sql

DECLARED = Declared(None)
NAMES = DECLARED.names


async def names(url: str) -> dict[str, bool]:
    rows = await sql(
        url,
        "SELECT relname, indisvalid FROM pg_index JOIN pg_class ON pg_class.oid = indexrelid "
        f"WHERE indrelid = '{TABLE}'::regclass",
    )
    return {name: valid for name, valid in rows if name in NAMES}


async def older_database(url: str, records: int = 50) -> None:
    """Tables as they were made before there were indexes of fields."""
    async with PostgresBackend(url) as storage:
        assert await names(url) == dict.fromkeys(NAMES, True)
        await storage.set_many({f"order:{n}": {"status": "open", "n": n} for n in range(records)})
    for name in NAMES:
        await sql(url, f"DROP INDEX {name}")
    await sql(url, f"DROP FUNCTION {FIELD_FUNCTION}")


async def becomes_complete(url: str) -> bool:
    for _ in range(3000):
        if await names(url) == dict.fromkeys(NAMES, True):
            return True
        await asyncio.sleep(0.02)
    return False


async def becomes_busy(url: str) -> bool:
    """Wait until an index is being built."""
    for _ in range(3000):
        if await sql(url, "SELECT 1 FROM pg_stat_progress_create_index WHERE datname = current_database()"):
            return True
        await asyncio.sleep(0.01)
    return False


async def list_afresh(storage: PostgresBackend) -> FieldIndexes:
    """List once more, without the pause between two looks at what indexes there are."""
    indexes = (await postgres_engine_of(storage))._indexes
    indexes.known.next_look = 0
    assert len(await storage.list_orders({"status": "open"})) == 50
    return indexes


async def test_an_older_database_gets_them_beside_the_work(
    new_database: str, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "ad_seller.storage")
    await older_database(new_database)
    instances = [PostgresBackend(new_database, pool_max=3) for _ in range(4)]
    await asyncio.gather(*(instance.connect() for instance in instances))
    lists = await asyncio.gather(*(instance.list_orders({"status": "open"}) for instance in instances))
    assert [len(found) for found in lists] == [50] * 4
    assert await becomes_complete(new_database)
    assert caplog.text.count("building the index") == len(NAMES)
    for instance in instances:
        assert (await list_afresh(instance)).known.valid >= NAMES
    await asyncio.gather(*(instance.disconnect() for instance in instances))


async def test_writers_do_not_wait_and_a_cut_off_build_is_repaired(new_database: str) -> None:
    await older_database(new_database)
    other = await asyncpg.connect(new_database)
    transaction = other.transaction()
    await transaction.start()
    await other.execute(f"UPDATE {TABLE} SET value = '{{}}' WHERE key = 'order:1'")  # the build waits for its end
    async with PostgresBackend(new_database, timeout=2) as storage:
        await storage.list_orders({"status": "open"})
        assert await becomes_busy(new_database)
        for number in range(20):
            await storage.set_order("2", {"status": "closed", "n": number})
        assert len(await storage.list_orders({"status": "open"})) == 49
    await sql(
        new_database,
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE query LIKE 'CREATE INDEX%' AND pid <> "
        "pg_backend_pid() AND datname = current_database()",
    )
    await transaction.rollback()
    await other.close()
    assert False in (await names(new_database)).values()
    async with PostgresBackend(new_database) as storage:
        assert len(await storage.list_orders({"status": "open"})) == 49
        assert await becomes_complete(new_database)
        assert len(await storage.list_orders({"status": "open"})) == 49


async def test_one_builds_at_a_time(new_database: str) -> None:
    await older_database(new_database)
    holder = await asyncpg.connect(new_database)
    await holder.fetch("SELECT pg_advisory_lock($1)", _LOCK)
    builder = await asyncpg.connect(new_database)
    assert not await build(builder.fetch, DECLARED)
    assert await names(new_database) == {}
    await holder.close()
    await builder.close()


async def test_while_another_one_builds_there_is_one_look_and_then_a_pause(
    new_database: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In all event loops: each look may open a connection of its own."""
    await older_database(new_database)
    holder = await asyncpg.connect(new_database)
    await holder.fetch("SELECT pg_advisory_lock($1)", _LOCK)
    opened = 0
    connect = Connection.open

    async def counted(*arguments: Any) -> Connection:
        nonlocal opened
        opened += 1
        return await connect(*arguments)

    monkeypatch.setattr(Connection, "open", counted)
    storage = PostgresBackend(new_database, pool_min=1)
    await storage.connect()

    async def list_often() -> None:
        for _ in range(30):
            assert len(await storage.list_orders({"status": "open"})) == 50
            await asyncio.sleep(0.001)

    def list_in_new_loops() -> None:
        for _ in range(5):
            asyncio.run(list_often())

    await list_often()
    await asyncio.to_thread(list_in_new_loops)
    assert opened <= 1 + 5 + 2, "the first of each loop, and a little"
    await storage.disconnect()
    await holder.close()


@pytest.mark.parametrize("settings", [{"pool_min": 1, "pool_max": 1}, {"statement_cache": False}], ids=str)
async def test_where_there_is_no_session_for_it_all_records_are_looked_at(
    new_database: str, settings: dict[str, Any], caplog: pytest.LogCaptureFixture
) -> None:
    await older_database(new_database)
    async with PostgresBackend(new_database, **settings) as storage:
        for _ in range(2):
            assert (await list_afresh(storage))._building is None
        assert await names(new_database) == {}
    assert caplog.text.count("look at all records of a kind") == 1


async def test_without_the_right_to_make_them(new_database: str, caplog: pytest.LogCaptureFixture) -> None:
    await older_database(new_database)
    user = f"{new_database.rpartition('/')[2]}_user"
    await sql(new_database, f"CREATE ROLE {user} LOGIN PASSWORD 'secret-password'")
    await sql(new_database, f"GRANT SELECT, INSERT, UPDATE, DELETE ON {TABLE}, ad_seller_schema TO {user}")
    limited = f"postgresql://{user}:secret-password@{new_database.rpartition('@')[2]}"
    async with PostgresBackend(limited) as storage:
        for _ in range(3):
            building = (await list_afresh(storage))._building
            if building is not None:
                await building
    assert caplog.text.count("look at all records of a kind") == 1
    assert "secret-password" not in caplog.text
    await sql(new_database, f"DROP OWNED BY {user}")
    await sql(new_database, f"DROP ROLE {user}")


async def test_disconnecting_while_it_builds(new_database: str) -> None:
    await older_database(new_database)
    for pause in (0, 0.001, 0.01, 0.03):
        storage = PostgresBackend(new_database)
        await storage.connect()
        await storage.list_orders({"status": "open"})
        await asyncio.sleep(pause)
        await storage.disconnect()
    async with PostgresBackend(new_database) as storage:
        for _ in range(3000):  # the server finishes the index that it was at, and meanwhile nobody else builds
            if (await list_afresh(storage)).known.valid >= NAMES:
                break
            await asyncio.sleep(0.02)
        assert await names(new_database) == dict.fromkeys(NAMES, True)


async def become(url: str, wanted: set[str]) -> bool:
    for _ in range(3000):
        rows = await sql(url, f"SELECT indexname FROM pg_indexes WHERE tablename = '{TABLE}'")
        if {name for (name,) in rows} - {f"{TABLE}_pkey", "of_a_dba"} == wanted:
            return True
        await asyncio.sleep(0.02)
    return False


async def test_there_are_those_that_are_declared(new_database: str, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "ad_seller.storage")
    events = [Index("event", "session_id")]
    async with PostgresBackend(new_database) as storage:
        await storage.set_many({f"event:{n}": {"session_id": f"s{n % 2}"} for n in range(4)})
    for name in (*UNASKED, "of_a_dba"):
        await sql(new_database, f"CREATE INDEX {name} ON {TABLE} (key)")
    async with PostgresBackend(new_database, create=False):
        pass
    assert await become(new_database, {*NAMES, *UNASKED})
    async with PostgresBackend(new_database):
        assert await become(new_database, {*NAMES})
    assert caplog.text.count("dropped indexes that nobody declares") == 1
    async with PostgresBackend(new_database, indexes=events) as storage:
        assert await become(new_database, {*Declared(events).names})
        async with PostgresBackend(new_database) as other:  # declares none, so it leaves those of others
            assert await other.list_orders({"status": "open"}) == []
            assert await become(new_database, {*Declared(events).names, *NAMES})
    async with PostgresBackend(new_database, indexes=()):
        assert await become(new_database, {EXPIRY.name})
    assert await sql(new_database, "SELECT 1 FROM pg_indexes WHERE indexname = 'of_a_dba'")


async def test_a_name_that_something_else_has_is_told_once(
    new_database: str, caplog: pytest.LogCaptureFixture
) -> None:
    await older_database(new_database)
    taken = f"{TABLE}_order_status"
    await sql(new_database, f"CREATE VIEW {taken} AS SELECT 1 AS one")
    caplog.set_level(logging.INFO, "ad_seller.storage")
    async with PostgresBackend(new_database) as storage:
        for _ in range(3):
            assert len((await storage.find("order:", {"status": "open"})).items) == 50
            building = (await postgres_engine_of(storage))._indexes._building
            if building is not None:
                await building
    assert await names(new_database) == dict.fromkeys(NAMES - {taken}, True)
    assert caplog.text.count(f"the index {taken} cannot be made: the name is taken") == 1
    assert caplog.text.count(f"building the index {taken}") == 1
    assert await sql(new_database, f"SELECT one FROM {taken}")
