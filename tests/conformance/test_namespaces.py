"""NamespacedBackend keeps the storage contract, whatever it stands on; what lives beside it is left alone."""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any, Final

import pytest
import redis

from ad_seller.storage import NamespacedBackend, StorageBackend
from ad_seller.storage.memory_backend import MemoryBackend
from ad_seller.storage.postgres_backend import PostgresBackend
from ad_seller.storage.records.namespaces import namespace_prefix
from ad_seller.storage.redis_backend import RedisBackend
from ad_seller.storage.sqlite_backend import SQLiteBackend
from ad_seller.storage.testing.conformance import NewBackend, StoreRaw
from ad_seller.storage.testing.conformance.atomic import AtomicConformance
from ad_seller.storage.testing.conformance.batches import BatchConformance
from ad_seller.storage.testing.conformance.connection import ConnectionConformance
from ad_seller.storage.testing.conformance.entities import EntityConformance
from ad_seller.storage.testing.conformance.expiry import ExpiryConformance
from ad_seller.storage.testing.conformance.harness import Harness
from ad_seller.storage.testing.conformance.keys import KeyConformance
from ad_seller.storage.testing.conformance.patterns import PatternConformance
from ad_seller.storage.testing.conformance.searches import SearchConformance
from ad_seller.storage.testing.conformance.transactions import RequestConformance, TransactionConformance
from ad_seller.storage.testing.conformance.values import ValueConformance
from tests.conformance.tested_directory import TestedDirectory
from tests.kept_open import KeptOpen
from tests.postgres.kept import Database
from tests.postgres.support import raw_writer

#: Entries of others, with names as near to ours as they come; None: of nobody, in the store itself.
NEIGHBOURS: Final[dict[str | None, dict[str, Any]]] = {
    None: {
        "a": "theirs",
        "order:1": {"status": "open"},
        "ns:own": 1,
        "ns:owner": 2,
        "session_index:buyer:gold": ["x"],
    },
    "own": {"a": "theirs", "order:1": {"status": "open"}, "session_index:buyer:gold": ["x"], "event:1": {"n": 1}},
    "own:er": {"a": "theirs", "order:1": {"status": "open"}},
    "owner*": {"a": "theirs", "order:1": {"status": "open"}},
    "OWNER": {"a": "theirs"},
}


def in_namespace(make: NewBackend) -> StorageBackend:
    return NamespacedBackend(make(), "owner")


def itself(backend: StorageBackend) -> StorageBackend:
    return backend


async def put_neighbours(store: StorageBackend) -> None:
    for name, entries in NEIGHBOURS.items():
        prefix = "" if name is None else namespace_prefix(name)
        await store.set_many({prefix + key: value for key, value in entries.items()})


async def check_neighbours(store: StorageBackend) -> None:
    """Each neighbour has its entries, and no more; the store has no others but what the test has left."""
    left = {key for key in await store.keys() if not key.startswith("ns:owner:")}
    for name, entries in NEIGHBOURS.items():
        prefix = "" if name is None else namespace_prefix(name)
        full = {prefix + key: value for key, value in entries.items()}
        assert await store.get_many(full) == full, name
        left -= full.keys()
    assert not left


def run(use: Callable[[StorageBackend], Awaitable[None]], make: NewBackend) -> None:
    """Run something on a backend that is open for it alone."""

    async def opened() -> None:
        async with make() as store:
            await use(store)

    asyncio.run(opened())


class Neighbourly(Harness):
    """The checks run in one namespace of a store in which others have entries, too."""

    @pytest.fixture
    def make(self) -> NewBackend:
        raise NotImplementedError

    @pytest.fixture
    def new_backend(self, make: NewBackend) -> Iterator[NewBackend]:
        run(put_neighbours, make)
        yield partial(in_namespace, make)
        run(check_neighbours, make)


class InNamespace(
    KeyConformance,
    ValueConformance,
    PatternConformance,
    BatchConformance,
    EntityConformance,
    SearchConformance,
    AtomicConformance,
    TransactionConformance,
    RequestConformance,
    ConnectionConformance,
):
    """What a prefix could break; that the engine itself stands crowds and kills is shown without one."""


class TestSQLite(Neighbourly, InNamespace):
    @pytest.fixture
    def make(self, tmp_path: Path) -> NewBackend:
        return partial(SQLiteBackend, f"sqlite:///{tmp_path}/store.db")

    @pytest.fixture
    def store_raw(self, tmp_path: Path) -> StoreRaw:
        async def store_raw(key: str, text: bytes) -> None:
            with sqlite3.connect(tmp_path / "store.db") as connection:
                connection.execute(
                    "INSERT INTO kv_store (key, value) VALUES (?, CAST(? AS TEXT))", (f"ns:owner:{key}", text)
                )
            connection.close()

        return store_raw


class TestRedis(Neighbourly, InNamespace):
    @pytest.fixture
    def make(self, redis_url: str, redis_prefix: str) -> NewBackend:
        return partial(RedisBackend, redis_url, key_prefix=redis_prefix)

    @pytest.fixture
    def store_raw(self, redis_url: str, redis_prefix: str) -> StoreRaw:
        async def store_raw(key: str, text: bytes) -> None:
            with redis.Redis.from_url(redis_url) as client:
                client.set(f"{redis_prefix}ns:owner:{key}", text)

        return store_raw


class TestPostgres(
    KeptOpen, Neighbourly, PatternConformance, EntityConformance, SearchConformance, RequestConformance
):
    @pytest.fixture(scope="class")
    @classmethod
    async def kept_store(cls, postgres_database: Database) -> AsyncIterator[StorageBackend]:
        async with PostgresBackend(postgres_database.url) as store:
            yield store

    @pytest.fixture(scope="class")
    @classmethod
    async def kept_open(cls, postgres_database: Database) -> AsyncIterator[StorageBackend]:
        async with in_namespace(partial(PostgresBackend, postgres_database.url)) as storage:
            yield storage

    @pytest.fixture
    async def new_backend(self, postgres_url: str, kept_store: StorageBackend) -> AsyncIterator[NewBackend]:
        await put_neighbours(kept_store)
        yield partial(in_namespace, partial(PostgresBackend, postgres_url))
        await check_neighbours(kept_store)

    @pytest.fixture
    def store_raw(self, postgres_url: str) -> StoreRaw:
        write = raw_writer(postgres_url)

        async def store_raw(key: str, text: bytes) -> None:
            await write(f"ns:owner:{key}", text)

        return store_raw


class TestMemory(Neighbourly, KeyConformance, ExpiryConformance, PatternConformance, ConnectionConformance):
    """All instances share one backend, which stays open while one of them is."""

    @pytest.fixture
    def make(self) -> NewBackend:
        return partial(itself, MemoryBackend())


class TestDirectory(Neighbourly, ExpiryConformance, EntityConformance, AtomicConformance, ConnectionConformance):
    """A backend of seven methods."""

    @pytest.fixture
    def make(self, tmp_path: Path) -> NewBackend:
        return partial(TestedDirectory, f"directory:///{tmp_path}/store")
