"""RedisBackend keeps the storage contract on a cluster, with one tenant in one slot and with entries everywhere."""

from __future__ import annotations

from collections.abc import AsyncIterator
from functools import partial

import pytest

from ad_seller.storage import CrossStoreError, StorageBackend
from ad_seller.storage.redis_backend import RedisBackend
from ad_seller.storage.testing.conformance import NewBackend, StorageConformance, StoreRaw
from ad_seller.storage.testing.conformance.harness import Harness
from ad_seller.storage.testing.redis_groups import RedisCluster
from ad_seller.storage.testing.redis_nodes import ask
from tests.kept_open import KeptOpen


class OnCluster(KeptOpen, Harness):
    key_prefix: str
    storm_size = 1500

    @pytest.fixture(scope="class")
    @classmethod
    async def kept_open(cls, shared_cluster: RedisCluster) -> AsyncIterator[StorageBackend]:
        async with RedisBackend(shared_cluster.url, key_prefix=cls.key_prefix) as storage:
            yield storage

    @pytest.fixture
    def new_backend(self, cluster: RedisCluster) -> NewBackend:
        return partial(RedisBackend, cluster.url, key_prefix=self.key_prefix)

    @pytest.fixture
    def store_raw(self, cluster: RedisCluster) -> StoreRaw:
        async def store_raw(key: str, text: bytes) -> None:
            name = f"{self.key_prefix}{key}"
            ask(cluster.master_of(name), "SET", name, text.decode(errors="surrogateescape"))

        return store_raw


class TestOneTenant(OnCluster, StorageConformance):
    key_prefix = "{tenant-1}:"


class TestSpread(OnCluster, StorageConformance):
    key_prefix = "ad_seller:"

    async def test_cancelled_transactions_are_all_or_nothing(self, backend: StorageBackend) -> None:
        with pytest.raises(CrossStoreError):
            await super().test_cancelled_transactions_are_all_or_nothing(backend)
