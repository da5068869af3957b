"""All of the atomic tools on PostgreSQL and Redis joined; what the tests commit together lives on one side."""

from __future__ import annotations

import uuid
from collections.abc import AsyncIterator, Iterator

import pytest

from ad_seller.storage import CrossStoreError, StorageBackend
from tests.atomic_suite import atomic_tests
from tests.kept_open import emptied
from tests.postgres.kept import Database
from tests.postgres.support import PostgresAddress

globals().update(atomic_tests(without={"TestTransactionMisuseSize"}))  # sizes are the engine's, and shown there


class TestTransactionOwnView(globals()["TestTransactionOwnView"]):  # type: ignore[misc]
    async def test_the_indexes_too(self, backend: StorageBackend) -> None:
        """The one test that reads both indexes in one transaction; they are on different sides."""
        with pytest.raises(CrossStoreError, match=r"agent_url_index.*session_index"):
            await super().test_the_indexes_too(backend)
        assert await backend.keys() == []


@pytest.fixture
def engine() -> tuple[str, None]:
    return "hybrid", None


@pytest.fixture(scope="module")
def kept_prefix() -> str:
    return f"ad_seller_test_{uuid.uuid4().hex}:"


@pytest.fixture
def redis_prefix(redis_url: str, kept_prefix: str) -> Iterator[str]:
    with emptied(redis_url, kept_prefix):
        yield kept_prefix


@pytest.fixture
def address(postgres_url: str, redis_url: str, redis_prefix: str) -> PostgresAddress:
    return PostgresAddress("hybrid", postgres_url, f"{redis_url} {redis_prefix}")


@pytest.fixture(scope="module")
async def kept_open(postgres_database: Database, redis_url: str, kept_prefix: str) -> AsyncIterator[StorageBackend]:
    """One backend for all tests: to open it computes as much as half of them do."""
    async with PostgresAddress("hybrid", postgres_database.url, f"{redis_url} {kept_prefix}").open() as storage:
        yield storage


@pytest.fixture
async def backend(kept_open: StorageBackend, address: PostgresAddress) -> StorageBackend:
    """On an empty store, connected: a test may have disconnected it."""
    await kept_open.connect()
    return kept_open
