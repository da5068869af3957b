"""The backend of examples/custom_backend.py keeps the storage contract."""

from __future__ import annotations

from functools import partial
from pathlib import Path

import pytest

from ad_seller.storage import StorageBackend
from ad_seller.storage.testing.conformance import NewBackend, StorageConformance, StoreRaw
from tests.conformance.tested_directory import TestedDirectory


class TestDirectory(StorageConformance):
    storm_size = 900

    @pytest.fixture
    def new_backend(self, tmp_path: Path) -> NewBackend:
        return partial(TestedDirectory, f"directory:///{tmp_path}/store")

    @pytest.fixture
    def store_raw(self, backend: StorageBackend) -> StoreRaw:
        assert isinstance(backend, TestedDirectory)
        return backend.store_raw
