"""What objects show of themselves in logs and debuggers: enough to tell them apart, and no password."""

from __future__ import annotations

import pytest

from ad_seller.storage import KEEP
from ad_seller.storage.hybrid_backend import HybridBackend
from ad_seller.storage.postgres_backend import PostgresBackend
from ad_seller.storage.redis_backend import RedisBackend
from ad_seller.storage.sqlite_backend import SQLiteBackend

SECRET = "hunter2"
POSTGRES = PostgresBackend(f"postgresql://agent:{SECRET}@db/agents", 1, 2)
REDIS = RedisBackend(f"redis://:{SECRET}@cache/0", "tenant:")

SHOWN = {
    "sqlite": (SQLiteBackend("agents.db"), ("SQLiteBackend", "agents.db")),
    "redis": (REDIS, ("RedisBackend", "cache/0", "tenant:")),
    "postgres": (POSTGRES, ("PostgresBackend", "db/agents")),
    "hybrid": (HybridBackend(POSTGRES, REDIS), ("HybridBackend", "db/agents", "cache/0")),
    "keep": (KEEP, ("KEEP",)),
}


@pytest.mark.parametrize("name", SHOWN)
def test_repr(name: str) -> None:
    thing, words = SHOWN[name]
    text = repr(thing)
    assert all(word in text for word in words), text
    assert SECRET not in text
