"""How a seller agent comes by two backends joined, and a day of its work."""

from __future__ import annotations

import os

import pytest

from ad_seller.storage import close_storage, get_storage, get_storage_backend
from ad_seller.storage.hybrid_backend import HybridBackend
from ad_seller.storage.postgres_backend import PostgresBackend
from ad_seller.storage.redis_backend import RedisBackend
from tests.groups import check_recorded_day


class TestFactory:
    @pytest.fixture(autouse=True)
    def _no_settings(self, monkeypatch: pytest.MonkeyPatch) -> None:
        for name in ("STORAGE_TYPE", "DATABASE_URL", "REDIS_URL"):
            monkeypatch.setenv(name, "")

    def test_both_urls(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("POSTGRES_POOL_MAX", "4")
        storage = get_storage_backend("hybrid", "postgresql://h/d", "redis://h:1")
        assert isinstance(storage, HybridBackend)
        assert isinstance(storage.postgres, PostgresBackend)
        assert storage.postgres._pool_max == 4
        assert isinstance(storage.redis, RedisBackend)

    @pytest.mark.parametrize(
        ("database_url", "redis_url", "missing"),
        [
            (None, "redis://h", "PostgreSQL URL required for hybrid storage.*DATABASE_URL"),
            ("postgresql://h/d", None, "Redis URL required for hybrid storage.*REDIS_URL"),
            (None, None, "PostgreSQL URL required for hybrid storage"),
            ("sqlite:///x.db", "redis://h", "PostgreSQL URL starts with"),
            ("postgresql://h/d", "http://h", "Redis URL starts with"),
        ],
    )
    def test_each_missing_url_is_named(self, database_url: str | None, redis_url: str | None, missing: str) -> None:
        with pytest.raises(ValueError, match=missing):
            get_storage_backend("hybrid", database_url, redis_url)

    async def test_the_shared_one(
        self, monkeypatch: pytest.MonkeyPatch, postgres_url: str, redis_url: str, redis_prefix: str
    ) -> None:
        monkeypatch.setenv("STORAGE_TYPE", "Hybrid")
        monkeypatch.setenv("DATABASE_URL", postgres_url)
        monkeypatch.setenv("REDIS_URL", redis_url)
        monkeypatch.setenv("REDIS_KEY_PREFIX", redis_prefix)
        storage = await get_storage()
        try:
            await storage.set("deal:1", 1)
            assert await storage.get("deal:1") == 1
            assert os.environ["STORAGE_TYPE"] == "Hybrid"
        finally:
            await close_storage()


def test_a_recorded_day(postgres_url: str, redis_url: str, redis_prefix: str) -> None:
    check_recorded_day(
        None,
        STORAGE_TYPE="hybrid",
        DATABASE_URL=postgres_url,
        REDIS_URL=redis_url,
        REDIS_KEY_PREFIX=redis_prefix,
    )
