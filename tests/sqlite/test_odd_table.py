"""A table of somebody else, without the types and conditions of ours."""

from __future__ import annotations

from pathlib import Path

import pytest

from ad_seller.storage import CorruptValueError
from ad_seller.storage.sqlite_backend import SQLiteBackend

from .support import execute


async def test_what_is_no_text_is_told_as_such(path: Path) -> None:
    execute(path, "CREATE TABLE kv_store (key TEXT PRIMARY KEY, value JSON, expires_at REAL)")
    execute(path, "INSERT INTO kv_store (key, value) VALUES ('none', NULL), ('number', 7)")
    async with SQLiteBackend(str(path)) as storage:
        assert await storage.get("none") is None
        with pytest.raises(CorruptValueError):
            await storage.get("number")
