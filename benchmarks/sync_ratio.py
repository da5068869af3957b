"""What a call without await costs: ``python benchmarks/sync_ratio.py [URL]``; a new SQLite file unless told.

One caller does `get` and `set` of a record of 500 bytes, awaited and without await in turns on one backend, the
rounds interleaved: microseconds a call, the median of the rounds, and how many calls without await are made in the
time of one that is awaited. Then 1, 4 and 16 threads without await: calls a second of all together.
"""

from __future__ import annotations

import asyncio
import statistics
import sys
import tempfile
import threading
import time
from collections.abc import Awaitable, Callable
from typing import Any

from ad_seller.storage import StorageBackend
from ad_seller.storage.sync import SyncStorage, open_url

ROUNDS = 15
SECONDS = 0.2  #: of each round
RECORD: dict[str, Any] = {"status": "available", "pricing": {"cpm": 15.3}, "notes": "x" * 450}


def without_await(call: Callable[[], Any]) -> float:
    """Return the seconds of one call."""
    calls, began = 0, time.perf_counter()
    while time.perf_counter() - began < SECONDS:
        call()
        calls += 1
    return (time.perf_counter() - began) / calls


def awaited(storage: StorageBackend, call: Callable[[], Awaitable[Any]]) -> float:
    """Return the seconds of one call, in an event loop of its own; what the loop opens is opened before."""

    async def main() -> float:
        await storage.get("record")
        calls, began = 0, time.perf_counter()
        while time.perf_counter() - began < SECONDS:
            await call()
            calls += 1
        return (time.perf_counter() - began) / calls

    return asyncio.run(main())


def compare(storage: SyncStorage) -> None:
    backend, numbers = storage.backend, iter(range(10**9))
    pairs: dict[str, tuple[Callable[[], Any], Callable[[], Awaitable[Any]]]] = {
        "get": (lambda: storage.get("record"), lambda: backend.get("record")),
        "set": (
            lambda: storage.set("record", RECORD | {"n": next(numbers)}),
            lambda: backend.set("record", RECORD | {"n": next(numbers)}),
        ),
        "get_order": (lambda: storage.get_order("o"), lambda: backend.get_order("o")),
    }
    for name, (plain, asynchronous) in pairs.items():
        rounds = [(without_await(plain), awaited(backend, asynchronous)) for _ in range(ROUNDS)]
        ours, theirs = (statistics.median(round_[side] for round_ in rounds) for side in (0, 1))
        ratio = statistics.median(awaited_ / plain_ for plain_, awaited_ in rounds)
        print(f"{name:10} {ours * 1e6:8.1f} us without await  {theirs * 1e6:8.1f} us awaited  ratio {ratio:.2f}")


def together(call: Callable[[], Any], number: int) -> float:
    """Return the calls a second of so many threads."""
    seconds: list[float] = []
    threads = [threading.Thread(target=lambda: seconds.append(without_await(call))) for _ in range(number)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return sum(1 / each for each in seconds)


def main(url: str) -> None:
    with open_url(url) as storage:
        storage.set("record", RECORD)
        storage.set_order("o", RECORD)
        compare(storage)
        for number in (1, 4, 16):
            gets, sets = (
                together(call, number)
                for call in (lambda: storage.get("record"), lambda: storage.set("record", RECORD))
            )
            print(f"{number:3} threads  get {gets:10,.0f}/s  set {sets:10,.0f}/s")


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as folder:
        main(sys.argv[1] if len(sys.argv) > 1 else f"sqlite:///{folder}/bench.db")
