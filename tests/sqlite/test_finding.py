"""Which way to the records a search on SQLite takes, and that the log says it."""

from __future__ import annotations

import logging
from pathlib import Path

import pytest

from ad_seller.storage.sqlite_backend import SQLiteBackend

from .support import execute


async def test_the_log_says_by_which_index(path: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG, "ad_seller.storage")
    async with SQLiteBackend(str(path), indexes=["event.session_id", "event.n"]) as storage:
        await storage.set("event:1", {"session_id": "secret-token", "n": 5})
        for where in ({"session_id": "secret-token"}, {"n": 5.0}, {"other": "x"}, {"session_id": ["x"]}):
            await storage.find("event", where)
    said = [record.getMessage() for record in caplog.records if record.getMessage().startswith("Find ")]
    assert [line.partition(" by ")[2].partition("_event_")[0] for line in said] == [
        *["the index kv_store_ix"] * 2,
        *["reading them all: no index that is declared fits"] * 2,
    ]
    assert said[0].startswith("Find event:… with session_id by the index kv_store_ix_event_session_id_")
    assert "secret-token" not in "".join(said)


async def test_names_of_foreign_writers_take_no_place_in_a_page(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A BLOB is no key of ours, and stands among them."""
    async with SQLiteBackend(str(path), indexes=["event.s"]) as storage:
        await storage.set_many({f"event:{n:03}": {"s": 1} for n in range(60)})
        for n in range(0, 60, 2):
            name: bytes = f"event:{n:03}".encode() + b"\xff"
            execute(path, "INSERT INTO kv_store (key, value) VALUES (CAST(? AS TEXT), '{\"s\": 1}')", name)
        for few, walked in ((1_000, 1_000), (0, 1_000), (0, 3)):
            for setting, number in {"_FEW": 0, "_LEAST_FEW": few, "_WALKED": 0, "_LEAST_WALKED": walked}.items():
                monkeypatch.setattr(f"ad_seller.storage.sqlite.finding.{setting}", number)
            page = await storage.find("event", {"s": 1}, limit=50)
            assert [key for key, _ in page.items] == [f"event:{n:03}" for n in range(50)]
            rest = await storage.find("event", {"s": 1}, limit=50, cursor=page.cursor)
            assert [key for key, _ in rest.items] == [f"event:{n:03}" for n in range(50, 60)]
            assert rest.cursor is None
