"""All of the atomic tools on PostgreSQL and Redis joined; what the tests commit together lives on one side."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from ad_seller.storage import CrossStoreError, StorageBackend
from tests.atomic_suite import atomic_tests
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


@pytest.fixture
def address(postgres_url: str, redis_url: str, redis_prefix: str) -> PostgresAddress:
    return PostgresAddress("hybrid", postgres_url, f"{redis_url} {redis_prefix}")


@pytest.fixture
async def backend(address: PostgresAddress) -> AsyncIterator[StorageBackend]:
    async with address.open() as storage:
        yield storage
