"""A new SQLite file for each test, and a backend on it."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from ad_seller.storage.sqlite_backend import SQLiteBackend


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """A file that does not exist yet."""
    return tmp_path / "store.db"


@pytest.fixture
def open_folder() -> Iterator[Path]:
    """A folder that every user may enter and write to, which pytest's own are not."""
    folder = Path(tempfile.mkdtemp())
    folder.chmod(0o777)
    yield folder
    folder.chmod(0o777)
    shutil.rmtree(folder)


@pytest.fixture
async def store(path: Path) -> AsyncIterator[SQLiteBackend]:
    """A connected backend on the file."""
    async with SQLiteBackend(str(path)) as backend:
        yield backend
