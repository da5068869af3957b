"""A new SQLite file for each test, and a backend on it."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from ad_seller.storage.sqlite_backend import SQLiteBackend


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """A file that does not exist yet."""
    return tmp_path / "store.db"


@pytest.fixture
async def store(path: Path) -> AsyncIterator[SQLiteBackend]:
    """A connected backend on the file."""
    async with SQLiteBackend(str(path)) as backend:
        yield backend
