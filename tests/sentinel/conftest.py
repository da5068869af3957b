"""A real Sentinel group for the tests of this directory; `mended` is for those that break something."""

from __future__ import annotations

from ad_seller.storage.testing.redis_groups import SentinelGroup
from tests.groups import fixtures_of

shared_group, group, mended = fixtures_of(SentinelGroup, "group")
