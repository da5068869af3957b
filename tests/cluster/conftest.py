"""A real cluster for the tests of this directory; each test finds it whole and empty.

It is six processes, started once per worker: with pytest-xdist, `--dist loadgroup` keeps it to one of each.
"""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from ad_seller.storage.testing.redis_groups import RedisCluster


@pytest.fixture(scope="session")
def shared_cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RedisCluster]:
    with RedisCluster(tmp_path_factory.mktemp("cluster")) as cluster:
        yield cluster


@pytest.fixture
def cluster(shared_cluster: RedisCluster) -> Iterator[RedisCluster]:
    yield shared_cluster
    shared_cluster.clear()


@pytest.fixture
def mended(cluster: RedisCluster) -> Iterator[None]:
    """For tests that break something."""
    yield
    cluster.heal()
