"""MemoryBackend keeps the storage contract."""

from __future__ import annotations

import pytest

from ad_seller.storage.memory_backend import MemoryBackend
from ad_seller.storage.testing.conformance import NewBackend, StorageConformance


class TestMemory(StorageConformance):
    @pytest.fixture
    def new_backend(self) -> NewBackend:
        return MemoryBackend
