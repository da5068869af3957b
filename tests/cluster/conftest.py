"""A real cluster for the tests of this directory; `mended` is for those that break something."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from ad_seller.storage.testing.redis_groups import RedisCluster
from ad_seller.storage.testing.redis_nodes import ask
from tests.groups import fixtures_of

shared_cluster, cluster, mended = fixtures_of(RedisCluster, "cluster")


@pytest.fixture
def patient(cluster: RedisCluster) -> Iterator[None]:
    """Nobody takes a silent node for dead, so none is replaced while the test looks on."""
    before = ask(cluster.nodes[0], "CONFIG", "GET", "cluster-node-timeout")[1]
    for node in cluster.nodes:
        ask(node, "CONFIG", "SET", "cluster-node-timeout", 60_000)
    yield
    for node in cluster.nodes:
        ask(node, "CONFIG", "SET", "cluster-node-timeout", before)
