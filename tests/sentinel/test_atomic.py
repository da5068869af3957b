"""All of the atomic tools on a Sentinel group."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from ad_seller.storage import StorageBackend
from ad_seller.storage.testing.redis_groups import SentinelGroup
from tests.atomic.support import Address
from tests.atomic_suite import atomic_tests

globals().update(atomic_tests(without={"TestTransactionMisuseSize"}))  # sizes are the engine's, and shown there


@pytest.fixture
def engine() -> tuple[str, None]:
    return "redis", None


@pytest.fixture
def address(group: SentinelGroup) -> Address:
    return Address("redis", group.url, "ad_seller:")


@pytest.fixture(scope="module")
async def kept_open(shared_group: SentinelGroup) -> AsyncIterator[StorageBackend]:
    """One backend for all tests: to open it computes as much as a short test."""
    async with Address("redis", shared_group.url, "ad_seller:").open() as storage:
        yield storage


@pytest.fixture
async def backend(kept_open: StorageBackend, address: Address) -> StorageBackend:
    """On an empty store, connected: a test may have disconnected it."""
    await kept_open.connect()
    return kept_open
