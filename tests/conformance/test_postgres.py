"""PostgresBackend keeps the storage contract."""

from __future__ import annotations

from functools import partial

import pytest

from ad_seller.storage.postgres_backend import PostgresBackend
from ad_seller.storage.postgres_sql import TABLE
from ad_seller.storage.testing.conformance import NewBackend, StorageConformance, StoreRaw
from tests.postgres.support import sql


class TestPostgres(StorageConformance):
    @pytest.fixture
    def new_backend(self, postgres_url: str) -> NewBackend:
        return partial(PostgresBackend, postgres_url)

    @pytest.fixture
    def store_raw(self, postgres_url: str) -> StoreRaw:
        async def store_raw(key: str, text: bytes) -> None:
            try:
                await sql(postgres_url, f"INSERT INTO {TABLE} (key, value) VALUES ($1, $2)", key, text.decode())
            except UnicodeDecodeError:
                pytest.skip("a text column of PostgreSQL holds nothing but UTF-8")

        return store_raw


class TestPostgresBehindAPooler(TestPostgres):
    """Without statements on the server and without settings of the session."""

    @pytest.fixture
    def new_backend(self, postgres_url: str) -> NewBackend:
        return partial(PostgresBackend, postgres_url, statement_cache=False)
