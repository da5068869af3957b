"""All of the atomic tools on a cluster, where one tenant's entries lie in one slot."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from ad_seller.storage import StorageBackend
from ad_seller.storage.testing.redis_groups import RedisCluster
from ad_seller.storage.testing.redis_nodes import ask
from tests.atomic.support import MOMENTS, Moment
from tests.atomic_suite import GroupAddress, atomic_tests

pytestmark = pytest.mark.xdist_group("cluster-failures")

globals().update(atomic_tests())


@pytest.fixture
def engine() -> tuple[str, None]:
    return "redis", None


@pytest.fixture(params=MOMENTS, ids=lambda moment: str(moment.__name__))
def moment(request: pytest.FixtureRequest) -> Moment:
    """The module of some of the tests parametrizes them by this."""
    found: Moment = request.param
    return found


@pytest.fixture
def own_redis() -> None:
    pytest.skip("breaks a server of its own, so it is the same as in tests/atomic")


@pytest.fixture
def address(cluster: RedisCluster) -> GroupAddress:
    address = GroupAddress("redis", cluster.url, "{tenant-1}:")
    address.write = lambda name, text: ask(cluster.master_of(name), "SET", name, text)
    return address


@pytest.fixture
async def backend(address: GroupAddress) -> AsyncIterator[StorageBackend]:
    async with address.open() as storage:
        yield storage
