"""Computing time of a call on SQLite, for comparing two checkouts: `python benchmarks/sqlite_cpu.py OTHER/src`.

Run it once for each, in turn, several times; with no argument it measures the package that is installed.
"""

from __future__ import annotations

import asyncio
import sys
import time
from tempfile import TemporaryDirectory
from typing import Any

VALUE = {"a": "x" * 180, "n": 1}


async def call(store: Any, kind: str, first: int, times: int) -> None:
    for number in range(times):
        key = f"item:{(first * 31 + number) % 2000}"
        await (store.get(key) if kind == "get" else store.set(key, {**VALUE, "n": number}))


async def main() -> None:
    from ad_seller.storage.sqlite_backend import SQLiteBackend

    with TemporaryDirectory() as folder:
        url = f"sqlite:///{folder}/x.db"
        async with SQLiteBackend(url, synchronous="NORMAL") as store:
            await store.set_many({f"item:{number}": VALUE for number in range(2000)})
            for kind in ("get", "set"):
                for tasks, times in ((1, 2000), (64, 80), (512, 10)):
                    began = time.process_time()
                    await asyncio.gather(*(call(store, kind, task, times) for task in range(tasks)))
                    took = (time.process_time() - began) / (tasks * times)
                    print(f"{kind}, {tasks} tasks: {took * 1e6:.1f} us")
        began = time.process_time()
        for _ in range(100):
            async with SQLiteBackend(url) as store:
                await store.get("a")
        print(f"open, get, close: {(time.process_time() - began) * 10:.2f} ms")


if __name__ == "__main__":
    sys.path[:0] = sys.argv[1:]
    asyncio.run(main())
