"""One line in the log says which store was opened, and what it promises."""

from __future__ import annotations

import logging
from pathlib import Path

import pytest

from ad_seller.storage.memory_backend import MemoryBackend
from ad_seller.storage.sqlite_backend import SQLiteBackend


async def test_it_is_said_once(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "ad_seller.storage")
    async with SQLiteBackend(f"sqlite:///{tmp_path}/store.db") as store:
        await store.connect()
    [line] = [record.getMessage() for record in caplog.records]
    assert line.startswith(f"Connected: SQLiteBackend('{tmp_path}/store.db')")
    assert line.endswith("survives a restart, for several processes, atomic in the store")


async def test_memory_says_that_it_keeps_nothing(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "ad_seller.storage")
    async with MemoryBackend():
        pass
    assert "does not survive a restart, for one process" in caplog.text
