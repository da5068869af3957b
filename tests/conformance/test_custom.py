"""The backend of examples/custom_backend.py keeps the storage contract."""

from __future__ import annotations

from functools import partial
from pathlib import Path

import pytest

from ad_seller.storage.testing.conformance import NewBackend, StorageConformance, StoreRaw
from examples.custom_backend import DirectoryBackend


class TestDirectory(StorageConformance):
    storm_size = 900

    @pytest.fixture
    def new_backend(self, tmp_path: Path) -> NewBackend:
        return partial(DirectoryBackend, f"directory:///{tmp_path}/store")

    @pytest.fixture
    def store_raw(self, tmp_path: Path) -> StoreRaw:
        async def store_raw(key: str, text: bytes) -> None:
            head = b'["%b",null]\n' % key.encode()
            (tmp_path / "store" / f"{key.replace(':', '%3a')}.jsonl").write_bytes(head + text)

        return store_raw
