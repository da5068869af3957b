"""Computing time of a call on Redis, for comparing two checkouts: `python benchmarks/redis_cpu.py OTHER/src`.

Run it once for each, in turn, several times; with no argument it measures the package that is installed. The
server's own time is not in it.
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
        if kind == "get":
            await store.get(key)
        elif kind == "set":
            await store.set(key, {**VALUE, "n": number})
        elif kind == "count":
            await store.count("item:1*")
        else:
            await store.update(key, lambda value: {**value, "n": 1})


async def main() -> None:
    from ad_seller.storage.redis_backend import RedisBackend
    from ad_seller.storage.testing.servers import RedisServer

    with TemporaryDirectory() as folder, RedisServer(folder) as server:
        async with RedisBackend(server.url) as store:
            await store.set_many({f"item:{number}": VALUE for number in range(2000)})
            for kind in ("get", "set", "update", "count"):
                for tasks, times in ((1, 2000), (64, 80), (512, 10)):
                    if kind == "count" and tasks > 1:
                        continue
                    began = time.process_time()
                    await asyncio.gather(*(call(store, kind, task, times) for task in range(tasks)))
                    took = (time.process_time() - began) / (tasks * times)
                    print(f"{kind}, {tasks} tasks: {took * 1e6:.1f} us", end="  ")
            print()


if __name__ == "__main__":
    sys.path[:0] = sys.argv[1:]
    asyncio.run(main())
