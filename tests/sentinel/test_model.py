"""A Sentinel group is what a dict is."""

from __future__ import annotations

from ad_seller.storage.redis_backend import RedisBackend
from ad_seller.storage.testing.redis_groups import SentinelGroup
from tests.model.machine import Bench
from tests.model.suite import check


def test_sentinel(group: SentinelGroup) -> None:
    with Bench(lambda: RedisBackend(group.url)) as bench:
        check(bench, examples=5)
