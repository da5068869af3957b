"""The exact instant of expiry, `now >= expires_at`, on the backends whose clock a test can set."""

from __future__ import annotations

import math
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest

from ad_seller.storage import MissingKeyError, StorageBackend
from ad_seller.storage.memory_backend import MemoryBackend
from ad_seller.storage.sqlite_backend import SQLiteBackend
from tests.clock import SetClock

START = 1_700_000_000.0
EXPIRES = START + 10

Look = Callable[[StorageBackend], Awaitable[Any]]


async def _has_ttl(store: StorageBackend) -> bool:
    try:
        return 0 < (await store.ttl("key") or 0) <= 10
    except MissingKeyError:
        return False


async def _updated(store: StorageBackend) -> bool:
    seen: list[Any] = []

    def change(current: Any) -> str:
        seen.append(current)
        return "other"

    await store.update("key", change)
    return seen == ["value"]


async def _in_page(store: StorageBackend) -> bool:
    return (await store.scan("k*", limit=1)).items == [("key", "value")]


#: Every operation, as a function that tells whether it found the entry.
LOOKS: dict[str, Look] = {
    "get": lambda store: _is(store.get("key"), "value"),
    "get_many": lambda store: _is(store.get_many(["key", "x"]), {"key": "value"}),
    "exists": lambda store: store.exists("key"),
    "keys of a prefix": lambda store: _is(store.keys("k*"), ["key"]),
    "keys of a name": lambda store: _is(store.keys("key"), ["key"]),
    "keys of a class": lambda store: _is(store.keys("[k]ey"), ["key"]),
    "scan of a prefix": lambda store: _is(store.scan("k*"), ([("key", "value")], None)),
    "scan of a class": lambda store: _is(store.scan("[k]ey"), ([("key", "value")], None)),
    "scan by page": _in_page,
    "count of a prefix": lambda store: _is(store.count("k*"), 1),
    "count of a class": lambda store: _is(store.count("[k]*"), 1),
    "ttl": _has_ttl,
    "delete": lambda store: store.delete("key"),
    "delete_many": lambda store: _is(store.delete_many(["key", "x"]), 1),
    "create": lambda store: _is(store.create("key", "other"), False),
    "compare_and_set": lambda store: store.compare_and_set("key", "value", "other"),
    "expire": lambda store: store.expire("key", 5),
    "persist": lambda store: store.persist("key"),
    "get_and_delete": lambda store: _is(store.get_and_delete("key"), "value"),
    "update": _updated,
}


async def _is(call: Awaitable[Any], expected: Any) -> bool:
    return bool(await call == expected)


@pytest.fixture
def clock() -> SetClock:
    return SetClock(START)


@pytest.fixture(params=["sqlite", "sqlite in memory", "memory"])
async def store(request: pytest.FixtureRequest, clock: SetClock, tmp_path: Path) -> AsyncIterator[StorageBackend]:
    backend: StorageBackend
    if request.param == "memory":
        backend = MemoryBackend(clock=clock, sweep_interval=None)
    else:
        file = ":memory:" if "memory" in request.param else str(tmp_path / "store.db")
        backend = SQLiteBackend(file, clock=clock, sweep_interval=None)
    async with backend:
        yield backend


@pytest.mark.parametrize("name", LOOKS)
async def test_there_until_the_instant_and_gone_from_it_on(
    name: str, store: StorageBackend, clock: SetClock
) -> None:
    is_there = LOOKS[name]
    for now, expected in (
        (math.nextafter(EXPIRES, 0), True),
        (EXPIRES, False),
        (math.nextafter(EXPIRES, math.inf), False),
        (EXPIRES + 1e6, False),
    ):
        clock.now = START
        await store.set("key", "value", ttl=10)
        clock.now = now
        assert await is_there(store) is expected, f"{now - EXPIRES:+} s"


async def test_what_replaces_an_expired_entry_is_new(store: StorageBackend, clock: SetClock) -> None:
    """Neither its value nor its expiry comes back."""
    await store.set("key", "value", ttl=10)
    clock.now = EXPIRES
    assert not await store.compare_and_set("key", "value", "new")
    assert await store.create("key", "new")
    assert await store.get("key") == "new"
    assert await store.ttl("key") is None
    clock.now = START
    assert await store.get("key") == "new"


async def test_an_update_of_an_expired_entry_has_no_expiry(store: StorageBackend, clock: SetClock) -> None:
    await store.set("key", 5, ttl=10)
    clock.now = EXPIRES
    assert await store.increment("key") == 1
    clock.now = EXPIRES + 1e9
    assert await store.get("key") == 1


async def test_ttl_is_exact(store: StorageBackend, clock: SetClock) -> None:
    await store.set("key", 1, ttl=10)
    assert await store.ttl("key") == 10
    clock.now = START + 2.5
    assert await store.ttl("key") == 7.5
    clock.now = math.nextafter(EXPIRES, 0)
    assert await store.ttl("key") == 0.001  # rounded up: 0 would say that it is gone


async def test_a_clock_that_is_set_back(store: StorageBackend, clock: SetClock) -> None:
    """No entry lives longer for it, and none lives again."""
    await store.set("key", 1, ttl=10)
    clock.now = START - 3600
    assert await store.get("key") == 1
    assert await store.ttl("key") == 10
    clock.now += 10
    assert await store.get("key") is None
    clock.now -= 3600
    assert await store.get("key") is None
