"""RedisBackend keeps the storage contract."""

from __future__ import annotations

from functools import partial

import pytest
import redis

from ad_seller.storage.redis_backend import RedisBackend
from ad_seller.storage.testing.conformance import NewBackend, StorageConformance, StoreRaw


class TestRedis(StorageConformance):
    @pytest.fixture
    def new_backend(self, redis_url: str, redis_prefix: str) -> NewBackend:
        return partial(RedisBackend, redis_url, key_prefix=redis_prefix)

    @pytest.fixture
    def store_raw(self, redis_url: str, redis_prefix: str) -> StoreRaw:
        async def store_raw(key: str, text: bytes) -> None:
            with redis.Redis.from_url(redis_url) as client:
                client.set(f"{redis_prefix}{key}", text)

        return store_raw
