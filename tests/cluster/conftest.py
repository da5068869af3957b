"""A real cluster for the tests of this directory; `mended` is for those that break something."""

from __future__ import annotations

from ad_seller.storage.testing.redis_groups import RedisCluster
from tests.groups import fixtures_of

shared_cluster, cluster, mended = fixtures_of(RedisCluster, "cluster")
