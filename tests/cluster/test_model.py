"""A cluster is what a dict is, where one tenant's entries lie in one slot."""

from __future__ import annotations

from ad_seller.storage.redis_backend import RedisBackend
from ad_seller.storage.testing.redis_groups import RedisCluster
from tests.model.machine import Bench
from tests.model.suite import check


def test_cluster(cluster: RedisCluster) -> None:
    with Bench(lambda: RedisBackend(cluster.url, "{tenant-1}:")) as bench:
        check(bench, examples=5)
