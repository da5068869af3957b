"""SQLiteBackend keeps the storage contract."""

from __future__ import annotations

import sqlite3
from functools import partial
from pathlib import Path

import pytest

from ad_seller.storage.sqlite_backend import SQLiteBackend
from ad_seller.storage.testing.conformance import NewBackend, StorageConformance, StoreRaw


class TestSQLite(StorageConformance):
    @pytest.fixture
    def new_backend(self, tmp_path: Path) -> NewBackend:
        return partial(SQLiteBackend, f"sqlite:///{tmp_path}/store.db")

    @pytest.fixture
    def store_raw(self, tmp_path: Path) -> StoreRaw:
        async def store_raw(key: str, text: bytes) -> None:
            with sqlite3.connect(tmp_path / "store.db") as connection:
                connection.execute("INSERT INTO kv_store (key, value) VALUES (?, CAST(? AS TEXT))", (key, text))
            connection.close()

        return store_raw
