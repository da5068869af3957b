"""A clock that is set back: what has expired stays expired, and nothing lives longer than its time to live."""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from ad_seller.storage import StorageBackend
from ad_seller.storage.memory_backend import MemoryBackend
from ad_seller.storage.records import expiry
from ad_seller.storage.records.expiry import SteadyClock
from ad_seller.storage.sqlite_backend import SQLiteBackend
from tests.clock import SetClock

_HOUR = 3600.0


class Machine:
    """The clocks of a machine.

    Attributes:
        wall: seconds since the epoch, as the machine believes.
        passed: seconds since it was started.
    """

    def __init__(self) -> None:
        """Start."""
        self.wall = 1_700_000_000.0
        self.passed = 50_000.0

    def wait(self, seconds: float) -> None:
        """Let time pass."""
        self.wall += seconds
        self.passed += seconds


@pytest.fixture
def machine(monkeypatch: pytest.MonkeyPatch) -> Iterator[Machine]:
    machine = Machine()
    with monkeypatch.context() as patch:
        patch.setattr(expiry, "system_clock", lambda: machine.wall)
        patch.setattr(expiry, "_monotonic", lambda: machine.passed)
        yield machine


def test_it_goes_on_by_the_time_that_passes(machine: Machine) -> None:
    clock = SteadyClock(expiry.system_clock)
    began = clock()
    machine.wait(10)
    assert clock() == began + 10
    machine.wall -= _HOUR
    assert clock() == began + 10
    machine.wait(5)
    assert clock() == began + 15
    assert clock.is_ahead
    machine.wall += _HOUR  # it is set right again
    machine.wait(1)
    assert clock() == began + 16
    assert bool(clock.is_ahead) is False
    machine.wall += _HOUR  # set forward, or the machine slept: then so be it
    assert clock() == machine.wall


def test_a_suspended_machine_whose_other_clock_stands_still(machine: Machine) -> None:
    clock = SteadyClock(expiry.system_clock)
    machine.wall += _HOUR
    assert clock() == machine.wall


def test_readings_that_disagree_by_little_do_not_add_up(machine: Machine) -> None:
    clock = SteadyClock(expiry.system_clock)
    began = clock()
    for _ in range(10_000):
        machine.passed += 0.001
        machine.wall += 0.0009999
        clock()
    assert clock() - began < 10.002


MAKE: dict[str, Callable[[Path, SetClock], StorageBackend]] = {
    "memory": lambda path, clock: MemoryBackend(clock=clock),
    "sqlite": lambda path, clock: SQLiteBackend(str(path / "store.db"), clock=clock),
}


@pytest.mark.parametrize("make", MAKE.values(), ids=MAKE)
async def test_an_expired_entry_does_not_live_again(
    make: Callable[[Path, SetClock], StorageBackend], tmp_path: Path
) -> None:
    clock = SetClock()
    async with make(tmp_path, clock) as store:
        await store.set("gone", 1, ttl=10)
        clock.now += 10
        assert await store.get("gone") is None
        clock.now -= _HOUR
        assert await store.get("gone") is None
        assert await store.keys() == []
        assert not await store.exists("gone")
        await store.set("new", 1, ttl=10)
        clock.now += 9
        assert await store.get("new") == 1
        clock.now += 1
        assert await store.get("new") is None


async def test_a_lease_of_a_process_that_died_does_not_hold_for_an_hour(tmp_path: Path) -> None:
    clock = SetClock()
    async with SQLiteBackend(str(tmp_path / "store.db"), clock=clock) as store:
        await store.set("lease", "of the dead", ttl=1)
        clock.now -= _HOUR
        assert await store.get("lease") == "of the dead"
        clock.now += 1
        assert await store.create("lease", "of another", ttl=1)


async def test_a_process_that_begins_later_learns_of_it(tmp_path: Path, machine: Machine) -> None:
    path = tmp_path / "store.db"
    first = SQLiteBackend(str(path), clock=expiry.system_clock, sweep_interval=None)
    async with first:
        await first.set("gone", 1, ttl=10)
        machine.wait(10)
        machine.wall -= _HOUR
        await first.set("other", 1)  # the first write after the step tells others
        second = SQLiteBackend(str(path), clock=expiry.system_clock, sweep_interval=None)
        async with second:
            assert await second.get("gone") is None
            await second.set("lease", 1, ttl=10)
            assert await first.get("lease") == 1
            assert await first.ttl("lease") == pytest.approx(10, abs=0.01)
            machine.wait(10)
            assert await first.get("lease") is None
            assert await second.get("lease") is None


async def test_what_was_told_before_the_machine_was_started_anew_is_not_believed(
    tmp_path: Path, machine: Machine
) -> None:
    path = tmp_path / "store.db"
    async with SQLiteBackend(str(path)) as store:
        await store.set("key", 1)
    db = sqlite3.connect(path, isolation_level=None)
    db.execute("CREATE TABLE kv_store_clock (boot TEXT, at REAL, monotonic REAL)")
    db.execute("INSERT INTO kv_store_clock VALUES ('another', ?, ?)", (machine.wall + _HOUR, machine.passed))
    db.close()
    async with SQLiteBackend(str(path), clock=expiry.system_clock) as store:
        await store.set("key", 1, ttl=10)
        [(deadline,)] = sqlite3.connect(path).execute("SELECT expires_at FROM kv_store").fetchall()
        assert deadline == pytest.approx(machine.wall + 10)


def test_the_system_clock_is_time() -> None:
    assert abs(SteadyClock(expiry.system_clock)() - time.time()) < 5
