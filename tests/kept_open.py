"""Backends that stay open from one test to the next, where to open one computes as much as a test does."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest
import redis

from ad_seller.storage import StorageBackend


class KeptOpen:
    """For classes of the kit: `backend` is the class's own `kept_open`, on the empty store of each test.

    What opening does is for the checks that take `new_backend`.
    """

    @pytest.fixture(scope="class")
    @classmethod
    def anyio_backend(cls) -> str:
        """One event loop for the class."""
        return "asyncio"

    @pytest.fixture
    async def backend(self, kept_open: StorageBackend, new_backend: Callable[[], StorageBackend]) -> StorageBackend:
        """Connected, also where the test before has ended that; ``new_backend`` has emptied the store."""
        await kept_open.connect()
        return kept_open


@contextmanager
def emptied(url: str, prefix: str) -> Iterator[None]:
    """Remove all that stands under a prefix of Redis, at the end."""
    yield
    with redis.Redis.from_url(url) as client:
        cursor: int | None = None
        while cursor != 0:
            cursor, keys = client.scan(cursor or 0, f"{prefix}*", 10_000)
            client.unlink(*keys, "none")
