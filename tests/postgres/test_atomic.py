"""All of the atomic tools on PostgreSQL."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from ad_seller.storage import StorageBackend
from tests.atomic_suite import atomic_tests
from tests.postgres.kept import Database
from tests.postgres.support import PostgresAddress

globals().update(atomic_tests())


@pytest.fixture
def engine() -> tuple[str, None]:
    return "postgres", None


@pytest.fixture
def address(postgres_url: str) -> PostgresAddress:
    return PostgresAddress("postgres", postgres_url)


@pytest.fixture(scope="module")
async def kept_open(postgres_database: Database) -> AsyncIterator[StorageBackend]:
    """One backend for all tests: to open it computes as much as half of them do."""
    async with PostgresAddress("postgres", postgres_database.url).open() as storage:
        yield storage


@pytest.fixture
async def backend(kept_open: StorageBackend, address: PostgresAddress) -> StorageBackend:
    """On an empty store, connected: a test may have disconnected it."""
    await kept_open.connect()
    return kept_open
