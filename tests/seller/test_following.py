"""Who follows a log misses nothing that comes late, gets nothing twice, and is told what it cannot have."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from ad_seller.storage import InvalidCursorError, LogEntry, LogGapError, StorageBackend
from ad_seller.storage.memory_backend import MemoryBackend
from ad_seller.storage.records.ids import TICKS_PER_SECOND, id_at
from ad_seller.storage.seller.log import Log
from ad_seller.storage.seller.log_entries import LogForm
from ad_seller.storage.seller.log_following import Follower, Span
from ad_seller.storage.sqlite_backend import SQLiteBackend
from tests.atomic.support import DictBackend

SPAN = Span(5_000, 2_000)


class World:
    """A log whose entries appear when the test says so, and a reader with a clock of the test's own."""

    def __init__(self, backend: StorageBackend, retention_ms: int | None = None) -> None:
        self.backend = backend
        self.now = 1_800_000_000.0
        self.form = LogForm.of("event", ())
        self.log = Log(backend, self.form, retention_ms, SPAN, lambda: self.now)
        self.retention_ms = retention_ms
        self.clock = asyncio.Lock()
        self.under_way: list[tuple[float, str, int]] = []  # when it will appear, its id, its value

    def id(self, seconds: float, number: int) -> str:
        return id_at(int((self.now + seconds) * TICKS_PER_SECOND), number)

    async def appear(self, number: int, seconds: float = 0.0) -> None:
        """Store an entry that says to be made ``seconds`` from now; the clock does not pass it by."""
        async with self.clock:
            await self.log._store_entry(self.id(seconds, number), number)

    async def pass_time(self, seconds: float) -> None:
        """Let what is under way appear in its time; the clock does not pass it by."""
        await asyncio.sleep(0)
        async with self.clock:
            until = self.now + seconds
            for entry in [entry for entry in self.under_way if entry[0] <= until]:
                self.under_way.remove(entry)
                await self.log._store_entry(entry[1], entry[2])
            self.now = until

    def follow(self, since: str | None = None) -> AsyncIterator[LogEntry]:
        return Follower(self.backend, self.form, self.retention_ms, SPAN, lambda: self.now, self.pass_time).entries(
            since
        )


@pytest.fixture(params=["memory", "seven methods", "sqlite"])
async def world(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[World]:
    made: dict[str, StorageBackend] = {
        "memory": MemoryBackend(),
        "seven methods": DictBackend(),
        "sqlite": SQLiteBackend(str(tmp_path / "log.db"), synchronous="NORMAL"),
    }
    async with made[request.param] as backend:
        yield World(backend)


async def take(entries: AsyncIterator[LogEntry], count: int) -> list[LogEntry]:
    return [await anext(entries) for _ in range(count)]


def values(entries: list[LogEntry]) -> list[Any]:
    return [entry.value for entry in entries]


async def test_what_is_there_and_what_comes_in_the_order_of_making(world: World) -> None:
    for number in range(3):
        await world.appear(number, seconds=number - 1_000_000)
    await world.appear(3)
    entries = world.follow()
    assert values(await take(entries, 4)) == [0, 1, 2, 3]
    waiting = asyncio.ensure_future(anext(entries))
    await asyncio.sleep(0.01)
    assert not waiting.done()
    await world.appear(4)
    assert (await waiting).value == 4


async def test_an_entry_that_appears_late_is_given_and_the_others_not_again(world: World) -> None:
    entries = world.follow()
    await world.appear(1, seconds=1.9)  # a clock that is ahead
    assert values(await take(entries, 1)) == [1]
    await world.appear(2, seconds=-6.9)  # a slow commit and a clock that is behind
    await world.appear(3, seconds=0.0)
    assert values(await take(entries, 2)) == [2, 3]
    await world.appear(4)
    assert values(await take(entries, 1)) == [4]


async def test_nothing_is_missed_or_doubled_whatever_comes_when(world: World) -> None:
    """Writers with clocks that differ, commits that take their time, a reader that reads now and then."""
    rng = random.Random(7)
    given: list[int] = []

    async def write() -> None:
        for number in range(1_200):
            made = world.id(rng.uniform(-1, 1), number)
            world.under_way.append((world.now + rng.uniform(0, 4.9), made, number))
            if rng.random() < 0.3:
                await world.pass_time(rng.choice([0, 0.1, 3]))

    writer = asyncio.ensure_future(write())
    async for entry in world.follow():
        given.append(entry.value)
        if rng.random() < 0.02:
            await world.pass_time(rng.choice([1, 20, 4_000]))  # the reader's own work takes so long
        if len(given) == 1_200:
            break
    await writer
    assert sorted(given) == list(range(1_200))


async def test_started_again_with_a_cursor_nothing_is_missing(world: World) -> None:
    for number in range(20):
        await world.appear(number, seconds=number - 15)
    first = await take(world.follow(), 12)
    await world.appear(20, seconds=-5)
    rest = await take(world.follow(first[-1].cursor), 5)
    seen = set(values(first)) | set(values(rest))
    entries = world.follow(first[-1].cursor)
    while seen != set(range(21)):
        seen.add((await anext(entries)).value)


@pytest.mark.parametrize("ago", [1_000.0, 9.0])
async def test_who_starts_again_after_each_entry_gets_on(world: World, ago: float) -> None:
    """Of what can get no company any more none comes twice, not even of one millisecond."""
    world.now += 3 - ago
    cursor = world.log.now()
    world.now += ago
    for number in range(6):
        await world.appear(number, seconds=number // 3 / 10 - ago)
    given = []
    for _ in range(6):
        [entry] = await take(world.follow(cursor), 1)
        cursor = entry.cursor
        given.append(entry.value)
    assert given == list(range(6))


async def test_from_now_on_what_was_long_ago_does_not_come(world: World) -> None:
    await world.appear(1, seconds=-8)
    cursor = world.log.now()
    await world.appear(2)
    assert values(await take(world.follow(cursor), 1)) == [2]


async def test_a_reader_that_pauses_for_an_hour_goes_on_where_it_was(world: World) -> None:
    entries = world.follow()
    await world.appear(0)
    await take(entries, 1)
    for number in range(1, 2_000):
        world.now += 1.8
        await world.appear(number)
    assert values(await take(entries, 1_999)) == list(range(1, 2_000))


class TestGaps:
    async def test_a_cursor_older_than_the_retention_is_told_and_the_rest_can_be_had(self) -> None:
        async with MemoryBackend() as backend:
            world = World(backend, retention_ms=60_000)
            await world.appear(1)
            cursor = (await anext(world.follow())).cursor
            world.now += 120
            await world.appear(2)
            with pytest.raises(LogGapError) as caught:
                await anext(world.follow(cursor))
            assert values(await take(world.follow(caught.value.cursor), 1)) == [2]

    async def test_so_is_one_of_before_a_trim(self, world: World) -> None:
        for number in range(5):
            await world.appear(number, seconds=number - 100)
        entries = world.follow()
        cursor = (await anext(entries)).cursor
        assert await world.log.trim(98) == 3
        with pytest.raises(LogGapError, match="removed unseen"):
            await anext(world.follow(cursor))
        assert values(await take(world.follow(), 2)) == [3, 4]

    async def test_a_paused_reader_is_told_too(self, world: World) -> None:
        entries = world.follow()
        await world.appear(0)
        await anext(entries)
        for number in range(1, 50):
            world.now += 10
            await world.appear(number)
        await world.log.trim(60)
        with pytest.raises(LogGapError):
            await anext(entries)

    async def test_the_mark_of_a_trim_only_grows(self, tmp_path: Path) -> None:
        """Another process trims further between the look at the mark and its writing."""

        class Overtaken(SQLiteBackend):
            async def overtaken(self) -> None:
                if not overtaking:
                    overtaking.append(True)
                    assert await later.log.trim(95) == 4

            async def set(self, key: str, value: Any, ttl: Any = None) -> None:
                await self.overtaken()
                await super().set(key, value, ttl)

            async def _atomic_commit(self, commit: Any) -> Any:
                if any(write.key == "log_trimmed:event" for write in commit.writes):
                    await self.overtaken()
                return await super()._atomic_commit(commit)

        overtaking: list[bool] = []
        url = f"sqlite:///{tmp_path}/store.db"
        async with SQLiteBackend(url) as other, Overtaken(url) as backend:
            world, later = World(backend), World(other)
            for number in range(8):
                await later.appear(number, seconds=number - 98.5)
            cursor = (await anext(later.follow())).cursor
            await world.log.trim(97)
            assert overtaking
            assert await other.get("log_trimmed:event") == 1000 * (later.now - 95)
            with pytest.raises(LogGapError):
                await anext(later.follow(cursor))

    @pytest.mark.parametrize(
        "cursor",
        ["", "nonsense", 5, b"W11=", "W10=", "WzEsIDJd", "WyJvdGhlciIsIDVd", "MQ==", "WyJldmVudCIsIDUsIDZd"],
    )
    async def test_what_is_no_cursor_is_refused(self, world: World, cursor: Any) -> None:
        with pytest.raises(InvalidCursorError):
            await anext(world.follow(cursor))


async def test_only_what_was_asked_for(world: World) -> None:
    log = world.backend.log("event", by=["kind"])
    await log.append({"kind": "a", "n": 1})
    await log.append({"kind": "b", "n": 2})
    assert [(await anext(log.follow(kind="b"))).value] == [{"kind": "b", "n": 2}]
