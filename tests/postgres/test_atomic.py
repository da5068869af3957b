"""All of the atomic tools on PostgreSQL."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from ad_seller.storage import StorageBackend
from tests.atomic_suite import atomic_tests
from tests.postgres.support import PostgresAddress

globals().update(atomic_tests())


@pytest.fixture
def engine() -> tuple[str, None]:
    return "postgres", None


@pytest.fixture
def address(postgres_url: str) -> PostgresAddress:
    return PostgresAddress("postgres", postgres_url)


@pytest.fixture
async def backend(address: PostgresAddress) -> AsyncIterator[StorageBackend]:
    async with address.open() as storage:
        yield storage
