"""Two backends joined, without servers."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from ad_seller.storage.hybrid_backend import HybridBackend
from ad_seller.storage.memory_backend import MemoryBackend


@pytest.fixture
async def joined() -> AsyncIterator[HybridBackend]:
    async with HybridBackend(MemoryBackend(), MemoryBackend()) as storage:
        yield storage
