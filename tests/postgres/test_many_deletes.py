"""Thousands of entries removed by one call: at one moment, whoever else writes under their keys meanwhile."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import asyncpg
import pytest

from ad_seller.storage import StorageTimeoutError, StoreUnavailableError
from ad_seller.storage.driver.commit import Commit, Delete, Expect, Put
from ad_seller.storage.postgres.commits import Packed, many_deletes
from ad_seller.storage.postgres.statements import COMMIT, TABLE, waiting
from ad_seller.storage.postgres_backend import PostgresBackend
from tests.postgres.support import postgres_engine_of, sql

KEYS = [f"deal:{n:04}" for n in range(1_200)]
OTHER = "deal:0600+"  #: between them, so that it is asked for with them


@pytest.fixture
async def storage(postgres_url: str) -> AsyncIterator[PostgresBackend]:
    async with PostgresBackend(postgres_url, sweep_interval=None, timeout=20) as storage:
        await storage.set_many(dict.fromkeys(KEYS, 1))
        yield storage


async def beside(url: str, writes: Commit, meanwhile: Callable[[], Awaitable[int]]) -> int:
    """Return what ``meanwhile`` does, which waits for a row that an open commit holds, until that ends."""
    other = await asyncpg.connect(url)
    transaction = other.transaction()
    await transaction.start()
    await other.fetch(waiting(COMMIT, 60), *Packed([writes]).arguments)
    working = asyncio.ensure_future(meanwhile())
    while not await sql(url, "SELECT 1 FROM pg_stat_activity WHERE wait_event_type = 'Lock'"):  # noqa: ASYNC110  # the server's, not ours
        await asyncio.sleep(0.01)
    await transaction.commit()
    await other.close()
    return await working


async def test_all_are_removed_and_counted(storage: PostgresBackend, postgres_url: str) -> None:
    await storage.set("deal:x", 1)
    assert await storage.delete_many(KEYS + KEYS) == len(KEYS)
    assert await storage.keys() == ["deal:x"]
    assert await storage.delete_many(KEYS) == 0
    assert [row["key"] for row in await sql(postgres_url, f"SELECT key FROM {TABLE}")] == ["deal:x"]


async def test_some_are_missing_or_over(storage: PostgresBackend) -> None:
    await storage.delete(KEYS[7])
    await storage.set(KEYS[8], 1, ttl=0.05)
    await asyncio.sleep(0.1)
    assert await storage.delete_many([*KEYS, OTHER]) == len(KEYS) - 2
    assert await storage.count() == 0


@pytest.mark.parametrize(
    "writes",
    [
        pytest.param((Put(KEYS[0], b"2"),), id="changed"),
        pytest.param((Put(KEYS[0], b"2"), Put(KEYS[-1], b"2")), id="two-changed"),
        pytest.param((Put(KEYS[0], b"2"), Put(OTHER, b"2")), id="one-made"),
        pytest.param((Delete(KEYS[0]), Put(OTHER, b"2")), id="one-removed-and-one-made"),
    ],
)
@pytest.mark.parametrize("asked", [KEYS, [*KEYS, OTHER]], ids=["all-there", "one-absent"])
async def test_before_or_after_another_commit_never_between(
    storage: PostgresBackend, postgres_url: str, asked: list[str], writes: tuple[Put | Delete, ...]
) -> None:
    """It came first to the lock, so what it wrote is removed whole, as far as that was asked."""
    commit = Commit((Expect("absent", None),), writes)
    removed = await beside(postgres_url, commit, lambda: storage.delete_many(asked))
    made, gone = Put(OTHER, b"2") in writes, Delete(KEYS[0]) in writes
    assert removed == len(KEYS) - gone + (made and OTHER in asked)
    assert await storage.keys() == ([OTHER] if made and OTHER not in asked else [])


async def test_what_expires_while_it_waits_for_a_row(storage: PostgresBackend, postgres_url: str) -> None:
    """Others have seen that it is gone, so it is not told as removed."""
    await storage.set(KEYS[-1], 1, ttl=0.6)
    other = await asyncpg.connect(postgres_url)
    transaction = other.transaction()
    await transaction.start()
    await other.execute(f"SELECT FROM {TABLE} WHERE key = $1 FOR UPDATE", KEYS[0])
    removing = asyncio.ensure_future(storage.delete_many(KEYS))
    while await storage.exists(KEYS[-1]):  # noqa: ASYNC110  # the server tells nobody
        await asyncio.sleep(0.02)
    await transaction.rollback()
    await other.close()
    assert await removing == len(KEYS) - 1
    assert await storage.count() == 0


async def test_a_row_that_is_held_for_long(storage: PostgresBackend, postgres_url: str) -> None:
    """Nothing of it is removed, and the writes of others go on."""
    async with PostgresBackend(postgres_url, timeout=2) as brief:
        other = await asyncpg.connect(postgres_url)
        transaction = other.transaction()
        await transaction.start()
        await other.execute(f"SELECT FROM {TABLE} WHERE key = $1 FOR UPDATE", KEYS[500])
        removing = asyncio.ensure_future(brief.delete_many(KEYS))
        for number in range(20):
            await brief.set("quote:1", number)
            await asyncio.sleep(0.02)
        with pytest.raises((StoreUnavailableError, StorageTimeoutError)):
            await removing
        await transaction.rollback()
        await other.close()
    assert await storage.count() == len(KEYS) + 1


async def test_both_of_its_statements_have_one_time_out(storage: PostgresBackend) -> None:
    """The second one is for what the first cannot do; who waits behind it waits no longer because of that."""
    client = (await postgres_engine_of(storage))._client
    deadlines: list[float | None] = []
    write = client.write

    def noted(statement: str, *parameters: Any, **how: Any) -> Any:
        deadlines.append(how["deadline"])
        return write(statement, *parameters, **how)

    client.write = noted  # type: ignore[method-assign]
    assert await storage.delete_many([*KEYS, OTHER]) == len(KEYS)
    first, second = deadlines
    assert first is not None
    assert second == first


async def test_beside_many_writers(storage: PostgresBackend) -> None:
    """Each key is written together with a twin; one never goes without the other."""
    twins = {key: f"{key}+" for key in KEYS[::60]}
    rnd = random.Random(12)

    async def write() -> None:
        for _ in range(15):
            key = rnd.choice(list(twins))
            puts = (Put(key, b"3"), Put(twins[key], b"3"))
            assert await storage._atomic_commit(Commit((Expect("absent", None),), puts)) == [True, True]

    async def remove() -> None:
        for _ in range(8):
            await storage.delete_many([*KEYS, *twins.values()])
            there = await storage.get_many([*twins, *twins.values()])
            assert all((key in there) == (twin in there) for key, twin in twins.items())

    await storage.delete_many(KEYS)
    await asyncio.gather(write(), write(), remove(), remove())


def test_what_is_no_such_commit() -> None:
    deletes = tuple(Delete(key) for key in KEYS)
    assert many_deletes(Commit((), deletes)) == KEYS
    assert many_deletes(Commit((), deletes[:999])) is None
    assert many_deletes(Commit((), (*deletes, deletes[0]))) is None
    assert many_deletes(Commit((), (*deletes, Put("x", b"1")))) is None
    assert many_deletes(Commit((Expect("x", None),), deletes)) is None
