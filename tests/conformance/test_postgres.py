"""PostgresBackend keeps the storage contract."""

from __future__ import annotations

from functools import partial

import pytest

from ad_seller.storage.postgres_backend import PostgresBackend
from ad_seller.storage.testing.conformance import NewBackend, StorageConformance, StoreRaw
from ad_seller.storage.testing.conformance.atomic import AtomicConformance
from ad_seller.storage.testing.conformance.batches import BatchConformance
from ad_seller.storage.testing.conformance.expiry import ExpiryConformance
from tests.postgres.support import raw_writer


class TestPostgres(StorageConformance):
    @pytest.fixture
    def new_backend(self, postgres_url: str) -> NewBackend:
        return partial(PostgresBackend, postgres_url)

    @pytest.fixture
    def store_raw(self, postgres_url: str) -> StoreRaw:
        return raw_writer(postgres_url)


class TestPostgresBehindAPooler(AtomicConformance, BatchConformance, ExpiryConformance):
    """Without statements on the server and without settings of the session: what the SQL decides."""

    @pytest.fixture
    def new_backend(self, postgres_url: str) -> NewBackend:
        return partial(PostgresBackend, postgres_url, statement_cache=False)
