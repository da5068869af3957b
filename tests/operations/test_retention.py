"""Retention: what is due goes, what is held or needed stays, whatever happens meanwhile."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Iterable
from contextlib import aclosing
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from ad_seller.storage import (
    CorruptValueError,
    InvalidArgumentError,
    InvalidValueError,
    LeaseHeldError,
    Log,
    LogEntry,
    LogGapError,
    StorageBackend,
)
from ad_seller.storage.memory_backend import MemoryBackend
from ad_seller.storage.operations import (
    Retained,
    RetentionRule,
    apply_retention,
    holds_of,
    place_hold,
    release_hold,
    retain,
)
from ad_seller.storage.operations.holds import HOLDS_KEY
from ad_seller.storage.operations.retention import LEASE_NAME
from ad_seller.storage.records.ids import TICKS_PER_SECOND, id_at
from ad_seller.storage.seller.outbox_entries import OutboxForm
from ad_seller.storage.sqlite_backend import SQLiteBackend
from tests.operations.test_repair import CUT, write_raw
from tests.runtime.stores import store

__all__ = ["store"]

DAY = 86_400.0
NOW = datetime(2026, 11, 28, tzinfo=UTC).timestamp()
ORDERS = RetentionRule(
    "finished orders",
    "order:",
    since="audit.-1.at",
    older_than=30 * DAY,
    where={"status": ("completed", "cancelled")},
)
QUOTES = RetentionRule("quotes", "quote:", since="created_at", older_than=30 * DAY)


def at(days_ago: float) -> str:
    return datetime.fromtimestamp(NOW - days_ago * DAY, UTC).isoformat()


def order(days_ago: float, status: str = "completed") -> dict[str, Any]:
    return {"status": status, "audit": [{"at": at(400)}, {"at": at(days_ago)}]}


async def applied(
    store: StorageBackend, rules: Iterable[RetentionRule], *, dry_run: bool = False, now: float = NOW
) -> dict[str, Retained]:
    run = apply_retention(store, rules, dry_run=dry_run, clock=lambda: now, pause=0)
    return {done.rule: done async for done in run}


async def followed(log: Log, count: int, since: str | None = None) -> list[LogEntry]:
    async with aclosing(log.follow(since)) as entries:
        return [await anext(entries) for _ in range(count)]


async def test_what_is_due_goes_and_all_else_stays(store: StorageBackend) -> None:
    async with store:
        await store.set_many({f"order:old-{n:03}": order(31 + n) for n in range(250)})
        stays = {
            "order:young": order(29),
            "order:running": order(300, "booked"),
            "order:odd": "text",
            "order:timeless": {"status": "completed"},
            "order:broken-time": {"status": "completed", "audit": [{"at": "yesterday"}]},
            "order:held": order(300),
            "orders:x": order(300),
            "quote:open": {"created_at": at(90)},
            "deal:1": {"status": "proposed", "quote_id": "open"},
            "deal:2": {"status": "Completed", "quote_id": "closed"},
            "deal:3": 5,
        }
        await store.set_many({**stays, "quote:closed": {"created_at": at(90)}})
        assert await place_hold(store, "case 12", ["order:held", "session:*"], reason="litigation") == 0

        expected = {"held": 1, "no time": 2}
        dry = (await applied(store, [ORDERS, QUOTES], dry_run=True))["finished orders"]
        assert (dry.seen, dry.due, dry.removed, dict(dry.kept)) == (257 - 1, 251, 0, expected)
        assert (dry.oldest, dry.holds) == (("order:held", at(300)), {"case 12"}) or dry.oldest == (
            "order:old-249", at(31 + 249),
        )  # fmt: skip
        assert await store.count("order:*") == 256

        done = await applied(store, [ORDERS, QUOTES])
        orders, quotes = done["finished orders"], done["quotes"]
        assert (orders.due, orders.removed, dict(orders.kept)) == (251, 250, expected)
        assert (quotes.due, quotes.removed, dict(quotes.kept)) == (2, 1, {"referred": 1})
        assert await store.get_many(stays) == stays
        assert await store.keys("order:old*") == []
        again = await applied(store, [ORDERS, QUOTES])
        assert [each.removed for each in again.values()] == [0, 0]


async def test_by_number(store: StorageBackend) -> None:
    rule = RetentionRule("events", "event:", since="t", keep_newest=100)
    async with store:
        await store.set_many({f"event:{n:03}": {"t": NOW - (n % 60) * DAY} for n in range(300)})
        await store.set("event:none", {})
        done = (await applied(store, [rule], dry_run=True))["events"]
        assert (done.due, done.oldest) == (200, ("event:059", at(59)))
        assert (await applied(store, [replace(rule, minimum_age=30.5 * DAY)], dry_run=True))["events"].due == 145
        done = (await applied(store, [rule]))["events"]
        assert (done.removed, dict(done.kept)) == (200, {"no time": 1})
        assert await store.count("event:*") == 101  # ties are no reason to keep fewer
        left = [value["t"] for _, value in (await store.scan("event:0*")).items]
        assert min(left) >= NOW - 20 * DAY
        assert (await applied(store, [replace(rule, keep_newest=0)]))["events"].removed == 100


async def test_logs(store: StorageBackend) -> None:
    """All goes that is due, but what is held; those who follow from before are told."""
    async with store:
        log = store.log("audit", by=("who",))
        old = {f"seen:{n:02}": {"who": "a", "at": at(100 - n)} for n in range(50)}
        await store.set_many(old)
        await log.take_in("seen:*", at="at")
        new = await log.append({"who": "a"})
        cursors = [entry.cursor for entry in await followed(log, 50)]
        by_age = RetentionRule("audit", log="audit", by=("who",), older_than=70.5 * DAY)
        by_number = replace(by_age, older_than=None, keep_newest=11)
        ids = [entry_id for entry_id, _ in (await log.read()).items]
        await place_hold(store, "case", [f"log:audit:{ids[n]}" for n in (0, 7)], reason="litigation")
        dry = (await applied(store, [by_age], dry_run=True))["audit"]
        assert (dry.due, dry.removed, dict(dry.kept), dry.holds) == (30, 0, {"held": 2}, {"case"})
        done = (await applied(store, [by_age]))["audit"]
        assert (done.due, done.removed, dict(done.kept), done.holds) == (30, 28, {"held": 2}, {"case"})
        assert done.oldest == ("log:audit:" + ids[0], at(100))
        left = [ids[0], ids[7], *ids[30:]]
        assert [entry_id for entry_id, _ in (await log.read(who="a")).items] == left  # and still found by a field
        assert await store.count("log_by:*") == 23  # no key of a field is left behind
        assert [entry.id for entry in await followed(log, len(left))] == left
        with pytest.raises(LogGapError, match="'audit'"):
            await followed(log, 1, cursors[25])
        assert [entry.id for entry in await followed(log, 10, cursors[39])] == ids[40:50]

        await release_hold(store, "case")
        older = replace(by_age, older_than=80.5 * DAY)
        assert (await applied(store, [older]))["audit"].removed == 2
        with pytest.raises(LogGapError):  # to trim up to an earlier time takes nothing back
            await followed(log, 1, cursors[25])
        assert (await applied(store, [by_number]))["audit"].removed == 10
        assert [page[0] for page in (await log.read(newest=True, limit=1)).items] == [new]
        done = (await applied(store, [by_age], now=NOW + 9_999 * DAY))["audit"]
        assert (done.removed, done.problem is not None and "on their way" in done.problem) == (0, True)


async def test_outboxes(tmp_path: Path) -> None:
    """Of an outbox goes what was set aside; what waits stays, however old it is."""
    async with SQLiteBackend(f"sqlite:///{tmp_path}/store.db") as store:
        form = OutboxForm.of("web:hooks")
        old = [id_at(int((NOW - days * DAY) * TICKS_PER_SECOND), days) for days in (90, 40, 10)]
        await store.set_many({form.failed_key(one): {"key": "k"} for one in old})
        await store.set(form.failed_key("odd"), {})
        waiting = await store.outbox("web:hooks").put({"n": 1})
        rule = RetentionRule("hooks", outbox="web:hooks", older_than=30 * DAY)
        done = (await applied(store, [rule]))["hooks"]
        assert (done.removed, dict(done.kept), done.oldest is not None and done.oldest[1]) == (
            2, {"no time": 1}, at(90),
        )  # fmt: skip
        assert await store.keys("outbox_failed:*") == [form.failed_key(old[2]), form.failed_key("odd")]
        assert [key.rpartition(":")[2] for key in await store.keys("outbox:*")] == [waiting]


async def test_what_changes_between_the_look_and_the_commit_is_judged_anew(tmp_path: Path) -> None:
    """An order that is taken up again, one that is held, and one that is deleted by others, at the last moment."""

    class Meddled(SQLiteBackend):
        async def _atomic_commit(self, commit: Any) -> Any:
            if any(write.key == "order:0" for write in commit.writes):
                await other.set("order:1", order(0))
                await other.delete("order:2")
                await place_hold(other, "case", ["order:3"], reason="litigation")
            return await super()._atomic_commit(commit)

    url = f"sqlite:///{tmp_path}/store.db"
    async with Meddled(url) as store, SQLiteBackend(url) as other:
        await other.set_many({f"order:{n}": order(90) for n in range(5)})
        done = (await applied(store, [ORDERS]))["finished orders"]
        assert await other.keys("order:*") == ["order:1", "order:3"]
        assert (done.due, done.removed, dict(done.kept)) == (5, 2, {"changed": 2, "held": 1})


async def test_a_hold_on_what_is_expiring(store: StorageBackend) -> None:
    async with store:
        await store.set_many({"session:a": {}, "session:b": {}}, ttl=500)
        assert await place_hold(store, "case", "session:a", reason="litigation") == 1
        assert await store.ttl("session:a") is None
        assert await store.ttl("session:b") is not None
        await store.set("session:a", {}, ttl=500)  # an agent that knows nothing of the hold
        await applied(store, [QUOTES])
        assert await store.ttl("session:a") is None
        [hold] = (await holds_of(store)).all
        assert (hold.name, hold.patterns, hold.reason) == ("case", ("session:a",), "litigation")
        assert await release_hold(store, "case")
        assert not await release_hold(store, "case")
        for bad in ([], "", [""], [5], 5):
            with pytest.raises(InvalidArgumentError):
                await place_hold(store, "x", bad, reason="y")  # type: ignore[arg-type]
        for pattern, why in (
            ("a\0*", "No key has a NUL"),
            ("a\ud800*", "lone surrogates"),
            ("a" * 4_097, "at most"),
        ):
            with pytest.raises(InvalidArgumentError, match=f"The hold 'x' has pattern='a.*: .*{why}"):
                await place_hold(store, "x", ["a", pattern], reason="y")
        with pytest.raises(InvalidArgumentError, match="The hold 'x' has reason="):
            await place_hold(store, "x", ["a"], reason="y\ud800")
        with pytest.raises(InvalidArgumentError, match="reason"):
            await place_hold(store, "x", ["a"], reason=" ")
        for outside in ("ns:publisher-a:order:*", "ns:*"):  # retention in the namespace would not look at it
            with pytest.raises(InvalidArgumentError, match="in the namespace itself"):
                await place_hold(store, "x", [outside], reason="y")
        await store.set("quote:old", {"created_at": at(90)})
        await store.set(HOLDS_KEY, ["damaged"])
        for call in (applied(store, [QUOTES]), place_hold(store, "x", ["a"], reason="y")):
            with pytest.raises(InvalidValueError, match="nothing is removed"):
                await call
        assert await store.exists("quote:old")


async def test_a_hold_on_an_entry_of_a_log(store: StorageBackend) -> None:
    """It stays, and is found by its fields."""
    async with store:
        log = store.log("web:audit", by=("who", "at.place"), retention=500)
        value = {"who": 5, "at": {"place": "a:b", "x.y": 1, "": 2}, "tags": ["t"], "none": None, "long" * 600: 1}
        held, other = [await log.append(value) for _ in range(2)]
        assert await place_hold(store, "case", [f"log:*:{held}"], reason="litigation") == 1
        for key in await store.keys("log*"):
            assert (await store.ttl(key) is None) == key.endswith(held), key
        assert len(await store.keys(f"*{other}")) == 3


async def test_a_hold_on_what_cannot_be_read(tmp_path: Path) -> None:
    async with SQLiteBackend(f"sqlite:///{tmp_path}/store.db") as store:
        await store.set("order:1", {})
        await write_raw(store, {"order:1": CUT})
        await store.expire("order:1", 500)
        assert await place_hold(store, "case", ["order:*"], reason="litigation") == 1
        assert await store.ttl("order:1") is None


async def test_what_cannot_be_read() -> None:
    async with MemoryBackend() as store:
        await store.set_many({"order:1": order(90), "deal:1": {}})
        await write_raw(store, {"order:2": CUT})
        assert dict((await applied(store, [ORDERS]))["finished orders"].kept) == {"unreadable": 1}
        await write_raw(store, {"deal:1": CUT})  # nobody knows what it refers to
        await store.set("order:3", order(90))
        with pytest.raises(CorruptValueError, match="deal:1"):
            await applied(store, [ORDERS])
        assert await store.exists("order:3")


async def until(ask: Callable[[], Awaitable[Any]], wanted: Any) -> None:
    """Wait until the answer is the wanted one."""
    async with asyncio.timeout(20):
        while await ask() != wanted:  # noqa: ASYNC110 - it waits for what others do
            await asyncio.sleep(0.01)


async def test_one_process_does_it(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "ad_seller.storage")
    async with MemoryBackend() as store:
        await store.set("order:1", order(90))
        async with store.lease(LEASE_NAME, 30):
            with pytest.raises(LeaseHeldError):
                await applied(store, [ORDERS])
            assert (await applied(store, [ORDERS], dry_run=True))["finished orders"].due == 1
            task = asyncio.create_task(retain(store, [ORDERS], every=0.01, clock=lambda: NOW))
            await asyncio.sleep(0.05)
            assert await store.exists("order:1")
        await until(lambda: store.exists("order:1"), False)
        await store.set("deal:1", {})
        await write_raw(store, {"deal:1": CUT})
        await until(lambda: asyncio.sleep(0, "will be tried again" in caplog.text), True)
        assert "rule 'finished orders': 1 of 1 due entries removed" in caplog.text
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
