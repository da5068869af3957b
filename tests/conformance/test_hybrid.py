"""HybridBackend keeps the storage contract, whatever it is made of."""

from __future__ import annotations

import uuid
from collections.abc import AsyncIterator, Iterator
from functools import partial
from pathlib import Path

import pytest

from ad_seller.storage import StorageBackend
from ad_seller.storage.hybrid_backend import HybridBackend
from ad_seller.storage.postgres_backend import PostgresBackend
from ad_seller.storage.redis_backend import RedisBackend
from ad_seller.storage.sqlite_backend import SQLiteBackend
from ad_seller.storage.testing.conformance import NewBackend, StorageConformance, StoreRaw
from ad_seller.storage.testing.conformance.atomic import AtomicConformance
from ad_seller.storage.testing.conformance.batches import BatchConformance
from ad_seller.storage.testing.conformance.entities import EntityConformance
from ad_seller.storage.testing.conformance.patterns import PatternConformance
from tests.kept_open import KeptOpen, emptied
from tests.postgres.kept import Database
from tests.postgres.support import raw_writer


def postgres_and_redis(postgres_url: str, redis_url: str, prefix: str) -> StorageBackend:
    return HybridBackend(PostgresBackend(postgres_url), RedisBackend(redis_url, key_prefix=prefix))


def two_files(folder: str) -> StorageBackend:
    first, second = (SQLiteBackend(f"sqlite:///{folder}/{name}.db") for name in ("first", "second"))
    return HybridBackend(first, second, routes=["session:", "session_index:", "e", "k", "quote:"])


class TestHybrid(KeptOpen, StorageConformance):
    @pytest.fixture(scope="class")
    @classmethod
    def kept_prefix(cls) -> str:
        return f"ad_seller_test_{uuid.uuid4().hex}:"

    @pytest.fixture(scope="class")
    @classmethod
    async def kept_open(
        cls, postgres_database: Database, redis_url: str, kept_prefix: str
    ) -> AsyncIterator[StorageBackend]:
        async with postgres_and_redis(postgres_database.url, redis_url, kept_prefix) as storage:
            yield storage

    @pytest.fixture
    def redis_prefix(self, redis_url: str, kept_prefix: str) -> Iterator[str]:
        with emptied(redis_url, kept_prefix):
            yield kept_prefix

    @pytest.fixture
    def new_backend(self, postgres_url: str, redis_url: str, redis_prefix: str) -> NewBackend:
        return partial(postgres_and_redis, postgres_url, redis_url, redis_prefix)

    @pytest.fixture
    def store_raw(self, postgres_url: str) -> StoreRaw:
        return raw_writer(postgres_url)


class TestHybridOfTwoFiles(AtomicConformance, BatchConformance, EntityConformance, PatternConformance):
    """Two backends of one kind, with routes that spread the entries of the tests over both."""

    @pytest.fixture
    def new_backend(self, tmp_path: Path) -> NewBackend:
        return partial(two_files, str(tmp_path))
