"""Logs: appended to, read from both ends and by field, trimmed, filled from older lists. On every engine."""

from __future__ import annotations

import time
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from ad_seller.storage import (
    CrossStoreError,
    InvalidArgumentError,
    InvalidCursorError,
    InvalidTTLError,
    InvalidValueError,
    Log,
    StorageBackend,
    Transaction,
)
from ad_seller.storage.records.ids import TICKS_PER_SECOND, id_at
from ad_seller.storage.testing.conformance.rows import rows

BY = ("session_id", "kind")


def event(number: int, session: Any = "s1", kind: Any = "quote") -> dict[str, Any]:
    return {"n": number, "session_id": session, "kind": kind}


def numbers(items: list[tuple[str, Any]]) -> list[int]:
    return [value["n"] for _, value in items]


@pytest.fixture
def log(backend: StorageBackend) -> Log:
    return backend.log("event", by=BY)


class TestReading:
    async def test_entries_come_in_the_order_of_appending_from_either_end(self, log: Log) -> None:
        ids = [await log.append(event(n)) for n in range(5)]
        assert ids == sorted(ids)
        page = await log.read()
        assert page.items == [(entry_id, event(n)) for n, entry_id in enumerate(ids)]
        assert page.cursor is None
        assert numbers((await log.read(newest=True, limit=2)).items) == [4, 3]
        assert await log.get(ids[3]) == event(3)
        assert await log.get("0" * 36) is None

    @pytest.mark.parametrize("newest", [False, True])
    @pytest.mark.parametrize("where", [{}, {"session_id": "s1"}, {"session_id": "s1", "kind": "deal"}])
    async def test_pages_hold_each_entry_once(self, log: Log, newest: bool, where: dict[str, Any]) -> None:
        for n in range(20):
            await log.append(event(n, f"s{n % 2}", "deal" if n % 3 == 0 else "quote"))
        expected = [
            n
            for n in range(20)
            if all(event(n, f"s{n % 2}", "deal" if n % 3 == 0 else "quote")[k] == v for k, v in where.items())
        ]
        found, cursor = [], None
        while True:
            page = await log.read(where, newest=newest, limit=3, cursor=cursor)
            assert len(page.items) <= 3
            found += numbers(page.items)
            cursor = page.cursor
            if cursor is None:
                break
        assert found == (expected[::-1] if newest else expected)

    async def test_fields_are_compared_as_python_does(self, log: Log) -> None:
        values = [
            "1",
            1,
            1.5,
            True,
            0,
            False,
            "true",
            "",
            "a:b",
            "a%3Ab",
            "*[x]?\\",
            "a\0b",
            "x" * 3000,
            "x" * 2999 + "y",
            10**400,
            None,
        ]
        for number, value in enumerate(values):
            await log.append(event(number, value))
        for value in values[:-1]:
            expected = [n for n, other in enumerate(values) if other is not None and other == value]
            assert numbers((await log.read(session_id=value)).items) == expected, value
        assert numbers((await log.read(session_id=1.0)).items) == [1, 3]
        assert len((await log.read()).items) == len(values)

    async def test_logs_of_similar_names_do_not_meet(self, backend: StorageBackend) -> None:
        names = ["a", "a:b", "a%3Ab", "a*", "a:session_id"]
        for number, name in enumerate(names):
            await backend.log(name, by=["session_id"]).append(event(number))
        for number, name in enumerate(names):
            log = backend.log(name, by=["session_id"])
            assert numbers((await log.read()).items) == [number]
            assert numbers((await log.read(session_id="s1")).items) == [number]

    async def test_path_with_dots(self, backend: StorageBackend) -> None:
        log = backend.log("approval", by=["order.id"])
        await log.append({"n": 1, "order": {"id": "O1"}})
        await log.append({"n": 2, "order": {"id": None}})
        assert numbers((await log.read({"order.id": "O1"})).items) == [1]

    async def test_cursor_of_another_question_is_refused(self, backend: StorageBackend, log: Log) -> None:
        for n in range(3):
            await log.append(event(n))
        everything = (await log.read(limit=1)).cursor
        some = (await log.read(session_id="s1", limit=1)).cursor
        for call in (
            log.read(session_id="s1", cursor=everything),
            log.read(cursor=some),
            log.read(kind="quote", cursor=some),
            log.read(session_id="s2", cursor=some),
            backend.log("events").read(cursor=everything),
            log.read(cursor="nonsense"),
        ):
            with pytest.raises(InvalidCursorError):
                await call


class TestAppending:
    @rows(
        "value",
        [
            {"n": 1},
            {"n": 1, "session_id": "s"},
            "text",
            None,
            event(1, {"a": 1}),
            event(1, kind=["x"]),
            event(1, datetime.now(UTC)),
        ],
    )
    async def test_what_cannot_be_found_by_its_fields_is_refused(
        self, backend: StorageBackend, log: Log, value: Any
    ) -> None:
        with pytest.raises(InvalidValueError, match="nothing was written"):
            await log.append(value)
        with pytest.raises(InvalidValueError, match="nothing was written"):
            await backend.transact(lambda tx: tx.log("event", by=BY).append(value))
        with pytest.raises(InvalidValueError, match="NaN"):
            await log.append({**event(1), "x": float("nan")})
        assert await backend.keys() == []

    async def test_a_log_without_fields_takes_any_value(self, backend: StorageBackend) -> None:
        log = backend.log("any")
        for value in (1, None, [1], "x"):
            await log.append(value)
        assert [value for _, value in (await log.read()).items] == [1, None, [1], "x"]

    async def test_entries_leave_after_the_retention(self, backend: StorageBackend) -> None:
        log = backend.log("event", by=BY, retention=timedelta(hours=1))
        entry_id = await log.append(event(1))
        for key in await backend.keys():
            left = await backend.ttl(key)
            assert left is not None
            assert 3500 < left <= 3600
        assert len(await backend.keys()) == 3
        assert await log.get(entry_id) == event(1)

    @rows("name", ["", None, 5, "x\0", "x" * 2100])
    async def test_bad_names_are_refused(self, backend: StorageBackend, name: Any) -> None:
        with pytest.raises(InvalidArgumentError):
            backend.log(name)

    @rows("by", ["session_id", [""], ["a..b"], [5], 5, ["a."]])
    async def test_bad_fields_are_refused(self, backend: StorageBackend, by: Any) -> None:
        with pytest.raises(InvalidArgumentError):
            backend.log("event", by=by)

    async def test_bad_questions_are_refused(self, backend: StorageBackend, log: Log) -> None:
        questions: list[dict[str, Any]] = [
            {"nothing": 1},
            {"session_id": None},
            {"session_id": ["a"]},
            {"session_id": {}},
            {"session_id": float("nan")},
            {"session_id": "\ud800"},
        ]
        for where in (*questions, "session_id", 5, [("session_id", "s1")]):
            with pytest.raises(InvalidArgumentError):
                await log.read(where)  # type: ignore[arg-type]
            with pytest.raises(InvalidArgumentError):
                await anext(log.follow(None, where))  # type: ignore[arg-type]
        for limit in (0, "5", True):
            for where in ({}, {"session_id": "s1"}):
                with pytest.raises(InvalidArgumentError):
                    await log.read(where, limit=limit)  # type: ignore[arg-type]
        with pytest.raises(InvalidTTLError):
            backend.log("event", retention=0)
        with pytest.raises(InvalidTTLError):
            backend.log("event", commit_seconds=-1)


class TestTransactions:
    async def test_an_entry_is_stored_with_what_it_tells_of_or_not_at_all(self, backend: StorageBackend) -> None:
        async def book(tx: Transaction, number: int) -> str:
            await tx.set(f"deal:{number}", {"id": number})
            return await tx.log("event", by=BY).append(event(number))

        async def fail(tx: Transaction) -> None:
            await book(tx, 2)
            raise RuntimeError("no")

        try:
            entry_id = await backend.transact(lambda tx: book(tx, 1))
        except CrossStoreError:  # the slots of a cluster
            assert not backend.capabilities.atomic_batches
            return
        with pytest.raises(RuntimeError, match="no"):
            await backend.transact(fail)
        log = backend.log("event", by=BY)
        assert (await log.read(kind="quote")).items == [(entry_id, event(1))]
        assert len(await backend.keys()) == 4

    async def test_two_that_append_are_no_conflict(self, backend: StorageBackend) -> None:
        log = backend.log("event")
        async with backend.transaction() as tx:
            await tx.log("event").append(event(1))
            await log.append(event(2))
        assert sorted(numbers((await log.read()).items)) == [1, 2]


class TestTrimming:
    async def test_what_is_older_goes_with_the_keys_that_lead_to_it(self, backend: StorageBackend) -> None:
        log = backend.log("event", by=BY, commit_seconds=0.02, clock_seconds=0.01)
        for n in range(7):
            await log.append(event(n))
        await backend.set("log:event:foreign", "stays")
        time.sleep(0.1)
        young = id_at(int((time.time() + 3600) * TICKS_PER_SECOND), 7)  # however long the next steps take
        await log._store_entry(young, event(7))
        assert await log.trim(timedelta(seconds=0.06)) == 7
        assert (await log.read(session_id="s1")).items == [(young, event(7))]
        assert await log.trim(0.06) == 0
        assert len([key for key in await backend.keys() if key.startswith("log_by:")]) == 2

    async def test_what_followers_look_back_over_stays(self, log: Log) -> None:
        with pytest.raises(InvalidArgumentError, match=r"(7|12) seconds"):
            await log.trim(6)


class TestTakingIn:
    async def test_records_and_lists_of_ids_become_entries_once(self, backend: StorageBackend, log: Log) -> None:
        times = [datetime(2026, 11, 1, 12, 0, n, 5, tzinfo=UTC) for n in range(6)]
        for n, moment in enumerate(times):
            await backend.set(f"event:e{n}", {**event(n, f"s{n % 2}"), "at": moment.isoformat()})
        await backend.set("event_index:session:s0", ["e4", "e0", "e2", "gone"])
        await backend.set("event_index:session:s1", ["e5", "e1", "e3", "e1"])
        taken = await log.take_in("event_index:session:*", at="at", records="event:")
        assert (taken.added, taken.known) == (6, 0)
        assert list(taken.left_out) == ["event:gone"]
        assert numbers((await log.read()).items) == [0, 1, 2, 3, 4, 5]
        assert numbers((await log.read(session_id="s1", newest=True)).items) == [5, 3, 1]
        again = await log.take_in("event:*", at="at")
        assert (again.added, again.known, again.left_out) == (0, 6, {})
        assert numbers([(await log.read(newest=True)).items[0]]) == [5]

    async def test_lists_of_entries_and_times_in_seconds(self, backend: StorageBackend) -> None:
        now = 1_790_000_000
        times = now + 0.5, now + 1, "never", 0, now * 1000
        await backend.set("quote_history:q1", [{"n": n, "t": moment} for n, moment in enumerate(times)])
        log = backend.log("quote_history")
        taken = await log.take_in("quote_history:*", at="t")
        assert (taken.added, list(taken.left_out)) == (2, [f"quote_history:q1#{n}" for n in (2, 3, 4)])
        assert numbers((await log.read()).items) == [0, 1]
        fresh = await log.append({"n": 9})
        assert (await log.read(newest=True, limit=1)).items == [(fresh, {"n": 9})]
