"""Which way to the records a search on SQLite takes, and that the log says it."""

from __future__ import annotations

import logging
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from ad_seller.storage.sqlite_backend import SQLiteBackend

from .support import counted, execute


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


WITH_AND_WITHOUT_KEY = pytest.mark.parametrize("index", ["event.s", "event.s+key"])


def look_as_if_many(monkeypatch: pytest.MonkeyPatch, few: int, walked: int) -> None:
    for setting, number in {"_FEW": 0, "_LEAST_FEW": few, "_WALKED": 0, "_LEAST_WALKED": walked}.items():
        monkeypatch.setattr(f"ad_seller.storage.sqlite.finding.{setting}", number)


@pytest.mark.parametrize("few", [0, 5, 1_000])
async def test_all_that_is_found_comes_in_the_order_of_the_keys(
    path: Path, monkeypatch: pytest.MonkeyPatch, few: int
) -> None:
    """Whoever sorts them, and each once: also one that SQLite and the look at odd texts have found."""
    monkeypatch.setattr("ad_seller.storage.sqlite.finding._SORTED_HERE", few)
    keys = ["event:É", "event:é", "event:Z", "event:a", "event:10", "event:9", "event:\U0001f600", "event:\uffff"]
    async with SQLiteBackend(str(path), indexes=["event.s"]) as storage:
        await storage.set_many({key: {"s": "a"} for key in keys})
        await storage.set_many({f"event:other-{n}": {"s": "b"} for n in range(20)})
        execute(path, "INSERT INTO kv_store (key, value) VALUES (?, ?)", "event:b", '{"s":"a","s":"a"}')
        expected = sorted([*keys, "event:b"], key=str.encode)
        for reverse in (False, True):
            page = await storage.find("event", {"s": "a"}, reverse=reverse)
            assert [key for key, _ in page.items] == expected[:: -1 if reverse else 1]


@WITH_AND_WITHOUT_KEY
async def test_names_of_foreign_writers_take_no_place_in_a_page(
    path: Path, monkeypatch: pytest.MonkeyPatch, index: str
) -> None:
    """A BLOB is no key of ours, and stands among them."""
    async with SQLiteBackend(str(path), indexes=[index]) as storage:
        await storage.set_many({f"event:{n:03}": {"s": 1} for n in range(60)})
        for n in range(0, 60, 2):
            name: bytes = f"event:{n:03}".encode() + b"\xff"
            execute(path, "INSERT INTO kv_store (key, value) VALUES (CAST(? AS TEXT), '{\"s\": 1}')", name)
        for few, walked in ((1_000, 1_000), (0, 1_000), (0, 3)):
            look_as_if_many(monkeypatch, few, walked)
            page = await storage.find("event", {"s": 1}, limit=50)
            assert [key for key, _ in page.items] == [f"event:{n:03}" for n in range(50)]
            rest = await storage.find("event", {"s": 1}, limit=50, cursor=page.cursor)
            assert [key for key, _ in rest.items] == [f"event:{n:03}" for n in range(50, 60)]
            assert rest.cursor is None


@WITH_AND_WITHOUT_KEY
async def test_what_the_index_finds_needs_no_second_look_only_where_we_wrote_it(
    path: Path, monkeypatch: pytest.MonkeyPatch, index: str
) -> None:
    """Texts of other writers that SQLite reads otherwise, on each way to a page."""
    async with SQLiteBackend(str(path), indexes=[index]) as storage:
        await storage.set_many({f"event:{n:02}": {"s": "a" if n % 2 else "b"} for n in range(40)})
        await storage.set_many({"event:50": {"s": "\0a"}, "event:51": {"s": "é"}, "event:52": ["s", "a"]}, ttl=60)
        foreign = {"event:60": '{"s":"b","s":"a"}', "event:61": '{"s":"a","s":"b"}', "event:62": '{"\\u0073":"a"}'}
        for key, text in foreign.items():
            execute(path, "INSERT INTO kv_store (key, value) VALUES (?, ?)", key, text)
        expected = [f"event:{n:02}" for n in (62, 60, *range(39, 0, -2))]
        for few in (1_000, 0):
            look_as_if_many(monkeypatch, few, 2_500)
            page = await storage.find("event", {"s": "a"}, reverse=True, limit=22)
            assert [key for key, _ in page.items] == expected
            assert [key for key, _ in (await storage.find("event", {"s": "é"}, limit=5)).items] == ["event:51"]
            page = await storage.find("event", {"s": "a"}, limit=3)
            assert [key for key, _ in page.items] == [f"event:{n:02}" for n in (1, 3, 5)]


@WITH_AND_WITHOUT_KEY
async def test_an_index_that_another_process_has_dropped_is_missed_by_nobody(
    path: Path, monkeypatch: pytest.MonkeyPatch, index: str
) -> None:
    look_as_if_many(monkeypatch, 0, 2_500)
    async with SQLiteBackend(str(path), indexes=[index]) as storage:
        await storage.set_many({f"event:{n:02}": {"s": "a" if n % 2 else "b"} for n in range(40)})
        before = await storage.find("event", {"s": "a"}, limit=5)
        async with SQLiteBackend(str(path), indexes=["order.status"]):  # drops what it does not declare
            pass
        assert await storage.find("event", {"s": "a"}, limit=5) == before


async def test_an_index_gets_the_key_when_that_is_declared_and_is_right_meanwhile(path: Path) -> None:
    """Another instance may declare it without, and an earlier version knows no such thing."""
    made = "SELECT sql FROM sqlite_master WHERE name LIKE 'kv_store_ix_event_s_%'"
    async with SQLiteBackend(str(path), indexes=["event.s+key"]) as storage:
        await storage.set_many({f"event:{n:02}": {"s": "a" if n % 2 else "b"} for n in range(40)})
        [(with_key,)] = execute(path, made)
        before = await storage.find("event", {"s": "a"}, limit=5)
        async with SQLiteBackend(str(path), indexes=["event.s"]) as other:
            [(without,)] = execute(path, made)
            for one in (storage, other):
                assert await one.find("event", {"s": "a"}, limit=5) == before
    assert (", key) WHERE" in with_key, with_key.replace(", key) WHERE", ") WHERE")) == (True, without)
    async with SQLiteBackend(str(path), indexes=["event.s", "default", "event.s+key"]) as storage:
        assert execute(path, made) == [(with_key,)]
        assert await storage.find("event", {"s": "a"}, limit=5) == before


@pytest.mark.parametrize("with_key", ["", "+key"])
async def test_a_page_costs_what_it_finds_whatever_the_field_holds(path: Path, with_key: str) -> None:
    fields = ["level", "price", "flag", "kind", "session"]
    async with SQLiteBackend(str(path), indexes=[f"event.{field}{with_key}" for field in fields]) as storage:
        values = (
            {"level": n % 2, "price": n % 2 / 10, "flag": n % 2 == 1, "kind": f"k{n % 2}", "session": f"s{n // 20}"}
            for n in range(4_000)
        )
        await storage.set_many({f"event:{n:04}": value for n, value in enumerate(values)})
        many: list[dict[str, Any]] = [{"level": 1}, {"level": 1.0}, {"price": 0.1}, {"flag": True}, {"kind": "k1"}]
        for where in many:
            for reverse in (False, True):
                taken, page = await counted(
                    storage, partial(storage.find, "event", where, limit=20, reverse=reverse)
                )
                assert len(page.items) == 20
                assert taken < 500, where
        for where in ({"kind": "k1", "session": "s77"}, {"session": "s77", "kind": "k1"}):
            for limit in (20, None):
                taken, page = await counted(storage, partial(storage.find, "event", where, limit=limit))
                assert len(page.items) == 10
                assert taken < 2_500, where


@pytest.mark.parametrize("with_key", ["", "+key"])
async def test_numbers_that_sqlite_reads_otherwise_are_found(path: Path, with_key: str) -> None:
    """Integers beyond what a float tells apart, and decimals that only Python rounds to the number."""
    numbers = [2**60, 2**60 + 1, 2**60 - 1, 5, 5.0, True, 1, 0.1, -0.0, 0, 1e22, 2**63 - 1, 2**64, None, "5"]
    texts = ["4.99999999999999999999999", "5.0e0", "0.5e1", "50E-1", "5.00000000000000000000001", "1e-400"]
    async with SQLiteBackend(str(path), indexes=[f"event.n{with_key}"]) as storage:
        await storage.set_many({f"event:a{at:02}": {"n": number} for at, number in enumerate(numbers)})
        for at, text in enumerate(texts):
            execute(path, "INSERT INTO kv_store (key, value) VALUES (?, ?)", f"event:b{at}", f'{{"n": {text}}}')
        everything = (await storage.scan("event:*")).items
        for number in {*numbers, 2.0**60, 4.999999999} - {None}:
            expected = [key for key, value in everything if value["n"] == number]
            for limit in (None, 30):
                for reverse in (False, True):
                    found = (await storage.find("event", {"n": number}, limit=limit, reverse=reverse)).items
                    assert [key for key, _ in found] == expected[:: -1 if reverse else 1], number
