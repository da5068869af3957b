"""Backends in this process are what a dict is, by a clock that the test sets."""

from __future__ import annotations

from pathlib import Path

from ad_seller.storage.hybrid_backend import HybridBackend
from ad_seller.storage.memory_backend import MemoryBackend
from ad_seller.storage.sqlite_backend import SQLiteBackend
from tests.clock import SetClock
from tests.model.machine import Bench
from tests.model.suite import check


def test_memory() -> None:
    clock = SetClock()
    with Bench(lambda: MemoryBackend(clock=clock), clock) as bench:
        check(bench, examples=30)


def test_sqlite(tmp_path: Path) -> None:
    clock = SetClock()
    with Bench(lambda: SQLiteBackend(f"sqlite:///{tmp_path}/model.db", clock=clock), clock) as bench:
        check(bench, examples=20)


def test_hybrid_of_both(tmp_path: Path) -> None:
    clock = SetClock()

    def new() -> HybridBackend:
        file = SQLiteBackend(f"sqlite:///{tmp_path}/model.db", clock=clock)
        return HybridBackend(file, MemoryBackend(clock=clock), routes=["session:", "a:", "order:"])

    with Bench(new, clock) as bench:
        check(bench, examples=15)
