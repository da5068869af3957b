"""NamespacedBackend keeps the storage contract, whatever it stands on; what lives beside it is left alone."""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import Iterator
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


async def put_neighbours(make: NewBackend) -> None:
    async with make() as store:
        for name, entries in NEIGHBOURS.items():
            prefix = "" if name is None else namespace_prefix(name)
            await store.set_many({prefix + key: value for key, value in entries.items()})


async def check_neighbours(make: NewBackend) -> None:
    """Each neighbour has its entries, and no more; the store has no others but what the test has left."""
    async with make() as store:
        left = {key for key in await store.keys() if not key.startswith("ns:owner:")}
        for name, entries in NEIGHBOURS.items():
            prefix = "" if name is None else namespace_prefix(name)
            full = {prefix + key: value for key, value in entries.items()}
            assert await store.get_many(full) == full, name
            left -= full.keys()
        assert not left


class Neighbourly(Harness):
    """The checks run in one namespace of a store in which others have entries, too."""

    @pytest.fixture
    def make(self) -> NewBackend:
        raise NotImplementedError

    @pytest.fixture
    def new_backend(self, make: NewBackend) -> Iterator[NewBackend]:
        asyncio.run(put_neighbours(make))
        yield partial(in_namespace, make)
        asyncio.run(check_neighbours(make))


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


class TestPostgres(Neighbourly, PatternConformance, EntityConformance, SearchConformance, RequestConformance):
    @pytest.fixture
    def make(self, postgres_url: str) -> NewBackend:
        return partial(PostgresBackend, postgres_url)

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
