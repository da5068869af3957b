"""RedisBackend keeps the storage contract on a Sentinel group."""

from __future__ import annotations

from collections.abc import AsyncIterator
from functools import partial

import pytest

from ad_seller.storage import StorageBackend
from ad_seller.storage.redis_backend import RedisBackend
from ad_seller.storage.testing.conformance import NewBackend, StorageConformance, StoreRaw
from ad_seller.storage.testing.redis_groups import SentinelGroup
from ad_seller.storage.testing.redis_nodes import ask
from tests.kept_open import KeptOpen


class TestSentinel(KeptOpen, StorageConformance):
    storm_size = 1500

    @pytest.fixture(scope="class")
    @classmethod
    async def kept_open(cls, shared_group: SentinelGroup) -> AsyncIterator[StorageBackend]:
        async with RedisBackend(shared_group.url) as storage:
            yield storage

    @pytest.fixture
    def new_backend(self, group: SentinelGroup) -> NewBackend:
        return partial(RedisBackend, group.url)

    @pytest.fixture
    def store_raw(self, group: SentinelGroup) -> StoreRaw:
        async def store_raw(key: str, text: bytes) -> None:
            ask(group.master(), "SET", f"ad_seller:{key}", text.decode(errors="surrogateescape"))

        return store_raw
