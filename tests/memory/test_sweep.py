"""Sweeping a large store in memory: each step is short, which is shown by counting what it looks at."""

from __future__ import annotations

import heapq

import pytest

from ad_seller.storage.driver.commit import Commit, Put
from ad_seller.storage.driver.engine import SWEEP_ROWS
from ad_seller.storage.memory import entries as module
from ad_seller.storage.memory.entries import Entries
from ad_seller.storage.memory_backend import MemoryBackend
from ad_seller.storage.runtime import sweeper
from tests.clock import SetClock


def put(entries: Entries, key: str, ttl_ms: int | None, now: float) -> None:
    entries.apply([Commit((), (Put(key, b"1", ttl_ms),))], lambda: now)


def test_void_deadlines_are_looked_at_in_steps(monkeypatch: pytest.MonkeyPatch) -> None:
    """One entry whose deadline was changed 100,000 times: all of them come due at once."""
    entries = Entries()
    for number in range(100_000):
        put(entries, "key", 1000 + number * 16, 0.0)
    put(entries, "key", None, 0.0)
    popped: list[int] = []

    def counted(heap: list[int]) -> int:
        popped[-1] += 1
        return pop(heap)

    pop = heapq.heappop
    monkeypatch.setattr(heapq, "heappop", counted)
    while entries.is_due(1e6):
        popped.append(0)
        assert entries.sweep(SWEEP_ROWS, 1e6) == 0
    assert max(popped) <= SWEEP_ROWS
    assert sum(popped) > 90_000
    assert entries.read(["key"], 1e6) == [b"1"]


def test_the_names_are_moved_once_in_a_step(monkeypatch: pytest.MonkeyPatch) -> None:
    entries = Entries()
    for number in range(3 * SWEEP_ROWS):
        put(entries, f"{number * 7919 % 10_007:05}", 1000 if number % 2 else None, 0.0)
    passes: list[int] = []
    without = module._without

    def counted(names: list[str], gone: list[str]) -> list[str]:
        passes.append(len(gone))
        return without(names, gone)

    monkeypatch.setattr(module, "_without", counted)
    while entries.is_due(10.0):
        entries.sweep(SWEEP_ROWS, 10.0)
    assert sum(passes) == 3 * SWEEP_ROWS // 2
    assert len(passes) <= 3
    assert entries._sorted == sorted(entries._by_key)
    assert len(entries._sorted) == 3 * SWEEP_ROWS // 2


async def test_a_sweep_goes_on_over_void_deadlines_until_nothing_is_due(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sweeper, "SWEEP_PAUSE", 0)
    clock = SetClock()
    async with MemoryBackend(clock=clock, sweep_interval=None) as store:
        for number in range(2000):
            await store.set("key", 1, ttl=1 + number / 64)
        await store.set("key", 1)
        await store.set_many({f"gone:{number}": 1 for number in range(700)}, ttl=60)
        clock.now += 100
        assert await store._sweep_all() == 700
        assert await store.keys() == ["key"]
