"""A real Sentinel group for the tests of this directory; each test finds it whole and empty.

It is six processes, started once per worker: with pytest-xdist, `--dist loadgroup` keeps it to one of each.
"""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from ad_seller.storage.testing.redis_groups import SentinelGroup


@pytest.fixture(scope="session")
def shared_group(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SentinelGroup]:
    with SentinelGroup(tmp_path_factory.mktemp("sentinel")) as group:
        yield group


@pytest.fixture
def group(shared_group: SentinelGroup) -> Iterator[SentinelGroup]:
    yield shared_group
    shared_group.clear()


@pytest.fixture
def mended(group: SentinelGroup) -> Iterator[None]:
    """For tests that break something."""
    yield
    group.heal()
