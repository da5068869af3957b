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


@pytest.fixture
async def backend(address: Address) -> AsyncIterator[StorageBackend]:
    async with address.open() as storage:
        yield storage
