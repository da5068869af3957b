"""The tables: their set-up, their versions, and the take-over of an older agent's table."""

from __future__ import annotations

import asyncio
import json
import logging
import time
from collections.abc import AsyncIterator

import asyncpg
import pytest

from ad_seller.storage import StorageConnectionError, StorageError, StoreUnavailableError
from ad_seller.storage.postgres.schema import _LOCK, VERSION
from ad_seller.storage.postgres.statements import TABLE
from ad_seller.storage.postgres.takeover import OLD_TABLE, SCHEMA_TABLE
from ad_seller.storage.postgres_backend import PostgresBackend
from tests.postgres.support import connections_become, created_database, sql

OLDER = f"CREATE TABLE {OLD_TABLE} (key TEXT PRIMARY KEY, value JSONB NOT NULL, expires_at DOUBLE PRECISION)"


async def older_agent(url: str, entries: dict[str, object], expires_at: float | None = None) -> None:
    """Write as the older seller agent did."""
    await sql(url, OLDER.replace("TABLE", "TABLE IF NOT EXISTS"))
    for key, value in entries.items():
        await sql(url, f"INSERT INTO {OLD_TABLE} VALUES ($1, $2::jsonb, $3)", key, json.dumps(value), expires_at)


class TestSetUp:
    async def test_the_first_connect_makes_the_tables_and_later_ones_write_nothing(self, new_database: str) -> None:
        async with PostgresBackend(new_database) as storage:
            await storage.set("deal:1", {"a": 1})
        before = await sql(new_database, f"SELECT xmin, * FROM {SCHEMA_TABLE}")
        [(written,)] = await sql(new_database, "SELECT pg_current_xact_id_if_assigned()::text FROM (SELECT 1) x")
        async with PostgresBackend(new_database) as storage:
            assert await storage.get("deal:1") == {"a": 1}
        assert await sql(new_database, f"SELECT xmin, * FROM {SCHEMA_TABLE}") == before
        assert written is None

    async def test_keys_are_in_the_order_of_code_points_whatever_the_locale(self, postgres_admin_url: str) -> None:
        try:
            database = created_database(
                postgres_admin_url, "TEMPLATE template0 LOCALE_PROVIDER icu ICU_LOCALE 'en-US' LOCALE 'C'"
            )
            url = await asyncio.to_thread(database.__enter__)
        except Exception as error:
            pytest.skip(f"no ICU in this server: {error}")
        names = ["a", "B", "ä", "Z", "_", "~", "é", "z", "😀", "ￜ", "0", "A:b", "a:B"]
        async with PostgresBackend(url) as storage:
            await storage.set_many(dict.fromkeys(names, 1))
            assert await storage.keys() == sorted(names)
            assert await storage.keys("a*") == ["a", "a:B"]
        await asyncio.to_thread(database.__exit__, None, None, None)

    async def test_twenty_instances_at_once(self, new_database: str, caplog: pytest.LogCaptureFixture) -> None:
        caplog.set_level(logging.INFO, "ad_seller.storage")
        await older_agent(new_database, {f"deal:{n}": {"n": n} for n in range(20)})
        instances = [PostgresBackend(new_database, pool_min=1, pool_max=2) for _ in range(20)]
        await asyncio.gather(*(instance.connect() for instance in instances))
        assert [await instance.count("deal:*") for instance in instances] == [20] * 20
        await asyncio.gather(*(instance.disconnect() for instance in instances))
        assert caplog.text.count("set up, version") == 1
        assert caplog.text.count("20 entries of kv_store taken over") == 1

    async def test_a_set_up_that_was_cut_off_is_done_again(self, new_database: str) -> None:
        await older_agent(new_database, {"deal:1": 1})
        for step in range(12):
            storage = PostgresBackend(new_database, pool_min=1)
            task = asyncio.create_task(storage.connect())
            await asyncio.sleep(0.002 * step)
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
            await storage.disconnect()
        assert await connections_become(new_database, 0)
        async with PostgresBackend(new_database) as storage:
            assert await storage.keys() == ["deal:1"]

    async def test_waiting_for_another_instance_ends(
        self, new_database: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr("ad_seller.storage.postgres.schema._LOCK_PATIENCE", 1)
        holder = await asyncpg.connect(new_database)
        await holder.execute(f"SELECT pg_advisory_lock({_LOCK})")
        with pytest.raises(StoreUnavailableError, match="Another instance has been setting up"):
            await PostgresBackend(new_database, timeout=0.5).connect()
        await holder.close()

    async def test_a_newer_schema_is_refused(self, new_database: str) -> None:
        async with PostgresBackend(new_database):
            pass
        await sql(new_database, f"UPDATE {SCHEMA_TABLE} SET value = '{VERSION + 1}' WHERE name = 'version'")
        with pytest.raises(StoreUnavailableError, match=f"version {VERSION + 1} .* knows up to {VERSION}.*Upgrade"):
            await PostgresBackend(new_database).connect()
        assert await connections_become(new_database, 0)

    async def test_tables_removed_while_running(self, new_database: str) -> None:
        async with PostgresBackend(new_database) as storage:
            await sql(new_database, f"DROP TABLE {TABLE}, {SCHEMA_TABLE}")
            for call in (storage.get("a"), storage.set("a", 1), storage.keys()):
                with pytest.raises(StoreUnavailableError, match="disconnect and connect"):
                    await call
            await storage.disconnect()
            await storage.connect()
            await storage.set("a", 1)

    async def test_another_encoding_is_refused(self, postgres_admin_url: str) -> None:
        database = created_database(postgres_admin_url, "TEMPLATE template0 ENCODING 'SQL_ASCII' LOCALE 'C'")
        url = await asyncio.to_thread(database.__enter__)
        with pytest.raises(StoreUnavailableError, match=r"encoding is SQL_ASCII.*UTF8"):
            await PostgresBackend(url).connect()
        await asyncio.to_thread(database.__exit__, None, None, None)

    async def test_a_stricter_default_isolation_does_not_matter(self, new_database: str) -> None:
        name = new_database.rpartition("/")[2]
        await sql(new_database, f"ALTER DATABASE {name} SET default_transaction_isolation = 'serializable'")
        async with PostgresBackend(new_database) as storage:
            assert await storage.create("a", 1)
        with pytest.raises(StoreUnavailableError, match=r"start as serializable here.*read committed"):
            await PostgresBackend(new_database, statement_cache=False).connect()


class TestTakeOver:
    VALUES: dict[str, object] = {  # noqa: RUF012
        "deal:1": {"price": 12.5, "name": "ä \U0001f600", "nested": [None, True, {"a": []}]},
        "order:a b%_*": "text",
        "quote:1": 1,
        "session:1": [],
        "null": None,
    }

    async def test_entries_come_over_once_and_the_older_table_stays(
        self, new_database: str, caplog: pytest.LogCaptureFixture
    ) -> None:
        caplog.set_level(logging.INFO, "ad_seller.storage")
        await older_agent(new_database, self.VALUES)
        async with PostgresBackend(new_database) as storage:
            assert await storage.get_many(self.VALUES) == self.VALUES
            await storage.delete("deal:1")
            await storage.update("quote:1", lambda value: value + 1)
        assert "5 entries of kv_store taken over, 0 left out" in caplog.text
        async with PostgresBackend(new_database) as storage:
            assert await storage.get("deal:1") is None
            assert await storage.get("quote:1") == 2
        [(count,)] = await sql(new_database, f"SELECT count(*) FROM {OLD_TABLE}")
        assert count == len(self.VALUES)
        records = dict(await sql(new_database, f"SELECT name, value FROM {SCHEMA_TABLE}"))
        assert records.pop("take-over of kv_store, moment")
        assert records == {"version": "1", "take-over of kv_store": "5 entries taken over, 0 left out"}

    async def test_expiry_comes_over(self, new_database: str) -> None:
        await older_agent(new_database, {"soon": 1}, time.time() + 100)
        await older_agent(new_database, {"gone": 1}, time.time() - 1)
        await older_agent(new_database, {"far": 1}, 1e18)
        await older_agent(new_database, {"never": 1})
        async with PostgresBackend(new_database) as storage:
            assert await storage.keys() == ["far", "never", "soon"]
            left = await storage.ttl("soon")
            assert left is not None
            assert 95 < left <= 100
            assert await storage.ttl("far") is None
            assert await storage.ttl("never") is None

    async def test_the_shortest_key_comes_over(self, new_database: str) -> None:
        await older_agent(new_database, {"k": 1})
        async with PostgresBackend(new_database) as storage:
            assert await storage.get("k") == 1

    async def test_tables_of_other_schemas_are_not_ours(self, new_database: str) -> None:
        await sql(new_database, "CREATE SCHEMA elsewhere")
        await sql(new_database, OLDER.replace(OLD_TABLE, f"elsewhere.{OLD_TABLE}"))
        await sql(new_database, f"INSERT INTO elsewhere.{OLD_TABLE} VALUES ('deal:1', '1', NULL)")
        await sql(new_database, f"CREATE TABLE elsewhere.{SCHEMA_TABLE} (id int)")
        async with PostgresBackend(new_database) as storage:
            assert await storage.keys() == []

    async def test_many_entries(self, new_database: str) -> None:
        await sql(new_database, OLDER)
        await sql(
            new_database,
            f"INSERT INTO {OLD_TABLE} SELECT 'deal:' || n, jsonb_build_object('n', n) "
            "FROM generate_series(1, 7001) n",
        )
        async with PostgresBackend(new_database) as storage:
            assert await storage.count("deal:*") == 7001
            assert await storage.get("deal:7001") == {"n": 7001}

    async def test_keys_that_no_backend_takes_stay_behind(
        self, new_database: str, caplog: pytest.LogCaptureFixture
    ) -> None:
        caplog.set_level(logging.INFO, "ad_seller.storage")
        await older_agent(new_database, {"": 1, "k" * 2049: 1, "ä" * 1025: 1, "k" * 2048: 2})
        async with PostgresBackend(new_database) as storage:
            assert await storage.keys() == ["k" * 2048]
        assert "1 entries of kv_store taken over, " in caplog.text

    async def test_a_table_that_appears_later_is_taken_over_and_newer_entries_win(self, new_database: str) -> None:
        async with PostgresBackend(new_database) as storage:
            await storage.set("deal:1", "new")
        await older_agent(new_database, {"deal:1": "old", "deal:2": "old"})
        async with PostgresBackend(new_database) as storage:
            assert await storage.get_many(["deal:1", "deal:2"]) == {"deal:1": "new", "deal:2": "old"}

    async def test_a_table_of_another_form_is_left_alone(
        self, new_database: str, caplog: pytest.LogCaptureFixture
    ) -> None:
        await sql(new_database, f"CREATE TABLE {OLD_TABLE} (id int, data bytea)")
        async with PostgresBackend(new_database) as storage:
            assert await storage.keys() == []
        assert "another form" in caplog.text


class TestRights:
    @pytest.fixture
    async def limited(self, new_database: str) -> AsyncIterator[str]:
        """The database, seen by a user who may connect and nothing else."""
        user = f"{new_database.rpartition('/')[2]}_user"
        await sql(new_database, f"CREATE ROLE {user} LOGIN PASSWORD 'secret-password'")
        await sql(new_database, "REVOKE CREATE ON SCHEMA public FROM public")
        yield f"postgresql://{user}:secret-password@{new_database.rpartition('@')[2]}"
        await sql(new_database, f"DROP OWNED BY {user}")
        await sql(new_database, f"DROP ROLE {user}")

    async def test_without_the_right_to_create_tables(self, limited: str) -> None:
        with pytest.raises(
            StorageError, match=r"permission denied for schema public.*GRANT USAGE, CREATE"
        ) as caught:
            await PostgresBackend(limited).connect()
        assert "secret-password" not in str(caught.value)

    async def test_rights_on_the_tables_are_enough_later(self, limited: str, new_database: str) -> None:
        async with PostgresBackend(new_database):
            pass
        user = limited.partition("//")[2].partition(":")[0]
        with pytest.raises(StoreUnavailableError, match="permission denied for table"):
            await PostgresBackend(limited).connect()
        await sql(new_database, f"GRANT SELECT, INSERT, UPDATE, DELETE ON {TABLE}, {SCHEMA_TABLE} TO {user}")
        async with PostgresBackend(limited) as storage:
            await storage.set("a", 1)
            assert await storage.get("a") == 1

    async def test_read_only(self, limited: str, new_database: str) -> None:
        async with PostgresBackend(new_database) as storage:
            await storage.set("a", 1)
        user = limited.partition("//")[2].partition(":")[0]
        await sql(new_database, f"GRANT SELECT ON {TABLE}, {SCHEMA_TABLE} TO {user}")
        await sql(new_database, f"ALTER ROLE {user} SET default_transaction_read_only = on")
        async with PostgresBackend(limited) as storage:
            assert await storage.get("a") == 1
            with pytest.raises(StoreUnavailableError, match=r"read-only transaction.*Name the primary") as caught:
                await storage.set("a", 2)
            assert caught.value.key == "a"
        [(version,)] = await sql(new_database, "SELECT current_setting('server_version_num')::int")
        if version >= 140_000:  # before, a server tells a client only that it is a standby
            with pytest.raises((StorageConnectionError, StoreUnavailableError)):
                await PostgresBackend(f"{limited}?target_session_attrs=read-write").connect()
