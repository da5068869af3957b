"""Time-outs do not add up: a request fails when one step's time is up, not after that of its clean-up, too."""

from __future__ import annotations

import sqlite3
import time
from pathlib import Path
from typing import Any

import pytest

from ad_seller.storage import StorageTimeoutError
from ad_seller.storage.sqlite_backend import SQLiteBackend
from tests.lateness import loop_lateness


@pytest.mark.parametrize("moment", ["before the claim", "before the commit"])
async def test_run_once_while_another_connection_holds_the_lock(tmp_path: Path, moment: str) -> None:
    path = tmp_path / "store.db"
    async with SQLiteBackend(f"sqlite:///{path}", timeout=1.0) as store:
        other = sqlite3.connect(path, isolation_level=None, check_same_thread=False)

        async def work(tx: Any) -> str:
            await tx.set("deal:1", {})
            if moment == "before the commit":
                other.execute("BEGIN IMMEDIATE")
            return "done"

        if moment == "before the claim":
            other.execute("BEGIN IMMEDIATE")
        began = time.monotonic()
        async with loop_lateness() as lateness:
            with pytest.raises(StorageTimeoutError, match="Nothing was written"):
                await store.run_once("scope", "key", 1, work)
        assert time.monotonic() - began < 1.9 + sum(lateness)
        other.execute("ROLLBACK")
        other.close()
        assert await store.get("deal:1") is None
