"""A backend of each kind, for tests that import the fixture."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from ad_seller.storage import StorageBackend
from ad_seller.storage.hybrid_backend import HybridBackend
from ad_seller.storage.memory_backend import MemoryBackend
from ad_seller.storage.postgres_backend import PostgresBackend
from ad_seller.storage.redis_backend import RedisBackend
from ad_seller.storage.sqlite_backend import SQLiteBackend

KINDS = ("memory", "sqlite", "sqlite in memory", "redis", "postgres", "hybrid")


@pytest.fixture(params=KINDS)
def store(
    request: pytest.FixtureRequest, tmp_path: Path, redis_url: str, redis_prefix: str, postgres_url: str
) -> Iterator[StorageBackend]:
    """A backend of each kind, not connected; closed afterwards."""

    def redis() -> RedisBackend:
        return RedisBackend(redis_url, key_prefix=redis_prefix)

    def postgres() -> PostgresBackend:
        return PostgresBackend(postgres_url, pool_min=1, pool_max=2)

    make: dict[str, Callable[[], StorageBackend]] = {
        "memory": MemoryBackend,
        "sqlite": lambda: SQLiteBackend(f"sqlite:///{tmp_path}/store.db"),
        "sqlite in memory": lambda: SQLiteBackend("sqlite:///:memory:"),
        "redis": redis,
        "postgres": postgres,
        "hybrid": lambda: HybridBackend(postgres=postgres(), redis=redis()),
    }
    backend = make[request.param]()
    yield backend
    asyncio.run(backend.disconnect())
