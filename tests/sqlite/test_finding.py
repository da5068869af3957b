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


async def test_what_the_index_finds_needs_no_second_look_only_where_we_wrote_it(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Texts of other writers that SQLite reads otherwise, on both ways to a page."""
    async with SQLiteBackend(str(path), indexes=["event.s"]) as storage:
        await storage.set_many({f"event:{n:02}": {"s": "a" if n % 2 else "b"} for n in range(40)})
        await storage.set_many({"event:50": {"s": "\0a"}, "event:51": {"s": "é"}, "event:52": ["s", "a"]}, ttl=60)
        foreign = {"event:60": '{"s":"b","s":"a"}', "event:61": '{"s":"a","s":"b"}', "event:62": '{"\\u0073":"a"}'}
        for key, text in foreign.items():
            execute(path, "INSERT INTO kv_store (key, value) VALUES (?, ?)", key, text)
        expected = ["event:62", "event:60", *[f"event:{n:02}" for n in range(39, 0, -2)]]
        for few in (1_000, 0):
            monkeypatch.setattr("ad_seller.storage.sqlite.finding._FEW", 0)
            monkeypatch.setattr("ad_seller.storage.sqlite.finding._LEAST_FEW", few)
            page = await storage.find("event", {"s": "a"}, reverse=True, limit=22)
            assert [key for key, _ in page.items] == expected
            assert [key for key, _ in (await storage.find("event", {"s": "é"}, limit=5)).items] == ["event:51"]
            page = await storage.find("event", {"s": "a"}, limit=3)
            assert [key for key, _ in page.items] == ["event:01", "event:03", "event:05"]


async def test_an_index_that_another_process_has_dropped_is_missed_by_nobody(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("ad_seller.storage.sqlite.finding._FEW", 0)
    monkeypatch.setattr("ad_seller.storage.sqlite.finding._LEAST_FEW", 0)
    async with SQLiteBackend(str(path), indexes=["event.s"]) as storage:
        await storage.set_many({f"event:{n:02}": {"s": "a" if n % 2 else "b"} for n in range(40)})
        before = await storage.find("event", {"s": "a"}, limit=5)
        async with SQLiteBackend(str(path), indexes=["order.status"]):  # drops what it does not declare
            pass
        assert await storage.find("event", {"s": "a"}, limit=5) == before
