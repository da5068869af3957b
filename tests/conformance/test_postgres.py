"""PostgresBackend keeps the storage contract."""

from __future__ import annotations

from collections.abc import AsyncIterator
from functools import partial

import pytest

from ad_seller.storage import StorageBackend
from ad_seller.storage.postgres_backend import PostgresBackend
from ad_seller.storage.testing.conformance import NewBackend, StorageConformance, StoreRaw
from ad_seller.storage.testing.conformance.atomic import AtomicConformance
from ad_seller.storage.testing.conformance.batches import BatchConformance
from ad_seller.storage.testing.conformance.expiry import ExpiryConformance
from tests.kept_open import KeptOpen
from tests.postgres.kept import Database
from tests.postgres.support import raw_writer


class TestPostgres(KeptOpen, StorageConformance):
    @pytest.fixture(scope="class")
    @classmethod
    async def kept_open(cls, postgres_database: Database) -> AsyncIterator[StorageBackend]:
        async with PostgresBackend(postgres_database.url) as storage:
            yield storage

    @pytest.fixture
    def new_backend(self, postgres_url: str) -> NewBackend:
        return partial(PostgresBackend, postgres_url)

    @pytest.fixture
    def store_raw(self, postgres_url: str) -> StoreRaw:
        return raw_writer(postgres_url)


class TestPostgresBehindAPooler(KeptOpen, AtomicConformance, BatchConformance, ExpiryConformance):
    """Without statements on the server and without settings of the session: what the SQL decides."""

    @pytest.fixture(scope="class")
    @classmethod
    async def kept_open(cls, postgres_database: Database) -> AsyncIterator[StorageBackend]:
        async with PostgresBackend(postgres_database.url, statement_cache=False) as storage:
            yield storage

    @pytest.fixture
    def new_backend(self, postgres_url: str) -> NewBackend:
        return partial(PostgresBackend, postgres_url, statement_cache=False)
