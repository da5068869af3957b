"""What the packing of commits and the function in the database make of them, against the plain meaning."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator
from typing import Any

import asyncpg
import pytest

from ad_seller.storage import InvalidValueError
from ad_seller.storage.driver.commit import Commit, Delete, Expect, Outcome, Put, Refused, Touch
from ad_seller.storage.postgres.commits import Packed, loads
from ad_seller.storage.postgres.statements import COMMIT, TABLE, waiting
from ad_seller.storage.postgres_backend import PostgresBackend
from ad_seller.storage.testing.conformance.rows import rows
from tests.clock import SetClock
from tests.engines import engine_of
from tests.postgres.support import sql
from tests.random_commits import BETWEEN_BATCHES, KEYS, check_batches


@pytest.fixture
async def storage(postgres_url: str) -> AsyncIterator[PostgresBackend]:
    async with PostgresBackend(postgres_url, sweep_interval=None) as storage:
        yield storage


@pytest.fixture
async def connection(postgres_url: str) -> AsyncIterator[Any]:
    connection = await asyncpg.connect(postgres_url, timeout=10)
    yield connection
    await connection.close()


@rows("seed", range(60))
async def test_any_batch_means_what_it_means_in_memory(
    storage: PostgresBackend, connection: Any, seed: int
) -> None:
    clock = SetClock()

    async def between() -> None:
        clock.now += BETWEEN_BATCHES
        statement = f"UPDATE {TABLE} SET expires_at = expires_at - interval '{BETWEEN_BATCHES} seconds'"
        await connection.execute(statement)

    await check_batches(storage, clock, seed, between)


async def test_nothing_is_left_of_locks_on_absent_keys(storage: PostgresBackend, postgres_url: str) -> None:
    absent = tuple(Expect(f"absent:{n}", None) for n in range(20))
    await storage.set("here", 1)
    assert await (await engine_of(storage)).apply([Commit(absent, (Put("new", b"1"),))]) == [[True]]
    assert await (await engine_of(storage)).apply([Commit((*absent, Expect("here", b"2")), (Put("x", b"1"),))]) == [
        Refused("here")
    ]
    assert await (await engine_of(storage)).apply([Commit((), (Delete("absent:1"), Touch("absent:2", 5)))]) == [
        [False, False]
    ]
    assert [row["key"] for row in await sql(postgres_url, f"SELECT key FROM {TABLE} ORDER BY 1")] == ["here", "new"]


async def test_no_session_asks_for_descriptions_of_types(
    postgres_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It costs milliseconds, and behind a pooler seconds."""

    async def unwanted(*_: object) -> None:
        raise AssertionError("a type was asked for")

    async with PostgresBackend(postgres_url) as storage:  # the set-up may
        monkeypatch.setattr(asyncpg.Connection, "_introspect_types", unwanted)
        await storage.disconnect()
        await storage.connect()
        await storage.set_many({"order:1": {"status": "x"}, "b": 2}, ttl=50 * 86_400)
        assert await storage.create("c", 3, ttl=500)
        assert not await storage.create("c", 3)
        assert await storage.expire("b", 900)
        assert 800 < (await storage.ttl("b") or 0) <= 900
        assert await storage.list_orders({"status": "x"}) == [{"status": "x"}]
        assert await storage.count() == await storage.delete_many(await storage.keys()) == 3
        assert await storage.cleanup_expired() == 0


async def test_the_first_expectation_that_fails_is_named(storage: PostgresBackend) -> None:
    wrong = [Expect(key, b"0") for key in ("z", "a", "m")]
    assert await (await engine_of(storage)).apply([Commit(tuple(wrong), (Put("q", b"1"),))]) == [Refused("z")]


async def test_an_empty_batch_and_an_empty_commit(storage: PostgresBackend) -> None:
    nothing: list[Outcome] = [[]]
    assert await (await engine_of(storage)).apply([Commit((), ())]) == nothing


@pytest.fixture
async def patient(postgres_url: str) -> AsyncIterator[PostgresBackend]:
    """One that may take long, as a slow machine does with much data."""
    async with PostgresBackend(postgres_url, timeout=60) as storage:
        yield storage


async def test_thousands_of_entries_in_one_commit(patient: PostgresBackend) -> None:
    entries = {f"deal:{n:05}": {"n": n} for n in range(20_000)}
    await patient.set_many(entries)
    assert await patient.count("deal:*") == 20_000
    assert await patient.get_many(entries) == entries
    assert await patient.delete_many(entries) == 20_000


async def test_values_of_many_megabytes(patient: PostgresBackend) -> None:
    large = {f"large:{n}": "x" * 9_000_000 for n in range(6)}
    await asyncio.gather(*(patient.set(key, value) for key, value in large.items()))
    assert await patient.get_many(large) == large


def test_a_batch_is_split_by_its_size_and_a_commit_is_not() -> None:
    small, large = Commit((), (Put("a", b"x" * 1000),)), Commit((), (Put("a", b"x" * 20_000_000),))
    assert list(loads([small, small])) == [(0, 2)]
    assert list(loads([small, large, small, small])) == [(0, 1), (1, 2), (2, 4)]


async def test_a_commit_that_no_message_can_carry(
    storage: PostgresBackend, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("ad_seller.storage.postgres.writer._MOST_BYTES", 1000)
    with pytest.raises(InvalidValueError, match="at most 1,000 bytes"):
        await storage.set("a", "x" * 1000)
    await storage.set("a", "x" * 900)


async def test_one_commit_that_the_server_refuses_does_not_spoil_the_others(
    storage: PostgresBackend, postgres_url: str
) -> None:
    await sql(postgres_url, f"ALTER TABLE {TABLE} ADD CONSTRAINT no_b CHECK (key <> 'b')")
    try:
        answers = await asyncio.gather(*(storage.set(key, key) for key in KEYS), return_exceptions=True)
        assert [type(answer).__name__ for answer in answers] == [
            "NoneType",
            "StoreUnavailableError",
            "NoneType",
            "NoneType",
            "NoneType",
        ]
        assert await storage.keys() == ["a", "c", "d", "e"]
    finally:
        await sql(postgres_url, f"ALTER TABLE {TABLE} DROP CONSTRAINT no_b")


def test_plain_writes_need_no_waves() -> None:
    batch = [Commit((), (Put(str(n % 3), b"%d" % n),)) for n in range(9)]
    arguments = Packed(batch).arguments
    assert arguments[:2] == [["0", "1", "2"], ["6", "7", "8"]]
    assert arguments[7] == []


class TestRaces:
    async def test_one_of_many_creators_wins(self, postgres_url: str) -> None:
        instances = [PostgresBackend(postgres_url, 1, 2) for _ in range(6)]
        await asyncio.gather(*(instance.connect() for instance in instances))
        for number in range(60):
            created = await asyncio.gather(
                *(instance.create(f"one:{number}", n) for n, instance in enumerate(instances))
            )
            assert created.count(True) == 1
            assert await instances[0].get(f"one:{number}") == created.index(True)
        await asyncio.gather(*(instance.disconnect() for instance in instances))

    async def test_two_that_each_need_the_other_to_be_absent(self, postgres_url: str) -> None:
        """The write skew that snapshot isolation lets through."""
        async with PostgresBackend(postgres_url, 1, 1) as one, PostgresBackend(postgres_url, 1, 1) as two:
            for number in range(60):
                x, y = f"x:{number}", f"y:{number}"
                answers = await asyncio.gather(
                    (await engine_of(one)).apply([Commit((Expect(x, None),), (Put(y, b"1"),))]),
                    (await engine_of(two)).apply([Commit((Expect(y, None),), (Put(x, b"1"),))]),
                )
                refused = [answer for answer in answers if isinstance(answer[0], Refused)]
                assert len(refused) == 1
                assert await one.count(f"?:{number}") == 1

    async def test_an_absent_key_is_locked_against_plain_writers_too(
        self, storage: PostgresBackend, postgres_url: str
    ) -> None:
        """While a commit that expects a key to be absent is open, nobody can write it."""
        other = await asyncpg.connect(postgres_url)
        transaction = other.transaction()
        await transaction.start()
        packed = Packed([Commit((Expect("absent", None),), (Put("seen", b"1"),))])
        await other.fetch(waiting(COMMIT, 60), *packed.arguments)
        writing = asyncio.create_task(storage.set("seen", 2))
        await asyncio.sleep(0.1)
        assert not writing.done()
        await transaction.commit()
        await writing
        await other.close()

    async def test_overlapping_batches_in_opposite_orders_never_deadlock(
        self, postgres_url: str, caplog: pytest.LogCaptureFixture
    ) -> None:
        keys = [f"k:{n}" for n in range(30)]
        instances = [PostgresBackend(postgres_url, 1, 3, timeout=60) for _ in range(4)]
        await asyncio.gather(*(instance.connect() for instance in instances))

        async def work(instance: PostgresBackend, seed: int) -> None:
            choose = random.Random(seed)
            for _ in range(40):
                some = choose.sample(keys, 12)
                match choose.randrange(4):
                    case 0:
                        await instance.set_many(dict.fromkeys(some, seed))
                    case 1:
                        await instance.delete_many(some)
                    case 2:
                        await asyncio.gather(*(instance.create(key, seed) for key in some))
                    case 3:
                        await (await engine_of(instance)).apply(
                            [Commit(tuple(Expect(k, None) for k in some[:6]), (Delete(some[7]),))]
                        )

        await asyncio.gather(*(work(instance, n) for n, instance in enumerate(instances * 3)))
        [(deadlocks,)] = await sql(
            postgres_url, "SELECT deadlocks FROM pg_stat_database WHERE datname = current_database()"
        )
        assert deadlocks == 0
        await asyncio.gather(*(instance.disconnect() for instance in instances))
