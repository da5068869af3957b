"""All of the atomic tools on a cluster, where one tenant's entries lie in one slot."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from ad_seller.storage import StorageBackend
from ad_seller.storage.testing.redis_groups import RedisCluster
from tests.atomic.support import Address
from tests.atomic_suite import atomic_tests

globals().update(atomic_tests())


@pytest.fixture
def engine() -> tuple[str, None]:
    return "redis", None


@pytest.fixture
def address(cluster: RedisCluster, request: pytest.FixtureRequest) -> Address:
    if (
        "very_many_writes" in request.node.name
    ):  # where the machine is slow, the others would take a node for dead meanwhile
        request.getfixturevalue("patient")
    return Address("redis", cluster.url, "{tenant-1}:")


@pytest.fixture(scope="module")
async def kept_open(shared_cluster: RedisCluster) -> AsyncIterator[StorageBackend]:
    """One backend for all tests: to open it computes as much as a short test."""
    async with Address("redis", shared_cluster.url, "{tenant-1}:").open() as storage:
        yield storage


@pytest.fixture
async def backend(kept_open: StorageBackend, address: Address) -> StorageBackend:
    """On an empty store, connected: a test may have disconnected it."""
    await kept_open.connect()
    return kept_open
