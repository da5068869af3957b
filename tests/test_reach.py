"""What the backends must reach in responsiveness and memory, with room for a machine that is busy otherwise.

`python -m benchmarks.stalls` prints the figures themselves.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path

import pytest

from ad_seller.storage import StorageBackend, open_url
from ad_seller.storage.testing.servers import RedisServer
from benchmarks.stalls import Stall, fill, longest_stall, point_operations
from tests.processes import run_code

KEYS = 100_000

#: Seconds of computing in one go on the event loop's thread; and, where a machine is so slow that it takes longer,
#: what share of the whole that may be. The goals are 50 ms and 5 ms; the 4,000 point operations take some 20 turns.
MOST_IN_LISTINGS = 0.150, 1 / 2
MOST_IN_POINT_OPERATIONS = 0.030, 1 / 8


async def assert_short(measure: Callable[[], Awaitable[Stall]], most: float, share: float) -> None:
    """Check that a turn of the event loop computes little, whatever else goes on: in one of three rounds."""
    stalls: list[Stall] = []
    while not any(stall.cpu < max(most, share * stall.whole) for stall in stalls):
        assert len(stalls) < 3, stalls
        stalls.append(await measure())


class Reach:
    """The tests; a subclass says of which store."""

    @pytest.fixture
    def url(self) -> str:
        """Where an empty store is."""
        raise NotImplementedError

    @pytest.fixture
    async def store(self, url: str) -> AsyncIterator[StorageBackend]:
        """The store, connected."""
        async with open_url(url) as backend:
            yield backend

    async def test_listings_do_not_stall_the_event_loop(self, store: StorageBackend) -> None:
        await fill(store, KEYS)
        for pattern in ("*", "deal:*", "*1*2*"):
            await assert_short(lambda: longest_stall(store.keys(pattern)), *MOST_IN_LISTINGS)  # noqa: B023
        assert len(await store.keys("deal:*")) == KEYS

    async def test_point_operations_do_not_stall_the_event_loop(self, store: StorageBackend) -> None:
        await assert_short(lambda: longest_stall(point_operations(store)), *MOST_IN_POINT_OPERATIONS)

    def test_memory_does_not_grow(self, url: str) -> None:
        done = run_code("import sys; from tests.reach_jobs import grow; grow(sys.argv[1])", url)
        assert done.returncode == 0, done.stderr
        assert float(done.stdout) <= 2.0


class TestMemory(Reach):
    @pytest.fixture
    def url(self) -> str:
        return "memory://"


class TestSQLite(Reach):
    @pytest.fixture
    def url(self, tmp_path: Path) -> str:
        return f"sqlite:///{tmp_path}/store.db"


class TestRedis(Reach):
    @pytest.fixture
    def url(self, own_redis: RedisServer) -> str:
        return own_redis.url
