"""How long the event loop stalls under each kind of call, and what memory it costs: `python -m benchmarks.stalls`.

A ticker wants to run every millisecond; the longest time by which it came late is the stall. Every figure is the
longest of one round. The best and the worst round are shown, because the worst also shows what else the machine
did, and the computing time of the event loop's thread in the best round, on which no other process has an
influence. The first line is the same ticker with nothing beside it.
"""

from __future__ import annotations

import argparse
import asyncio
import gc
import tempfile
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, NamedTuple

import psutil

from ad_seller.storage import StorageBackend, open_url
from ad_seller.storage.testing.servers import RedisServer

TICK = 0.001
CALLERS = 200

Work = Callable[[StorageBackend, int], Awaitable[object]]


class Stall(NamedTuple):
    """How long other tasks had to wait at worst, in seconds.

    Attributes:
        wall: by the clock.
        cpu: computing time of the event loop's thread; without what it waits for the interpreter's lock.
        whole: what that thread computed from the beginning of the work to its end.
    """

    wall: float
    cpu: float
    whole: float


async def longest_stall(work: Awaitable[object]) -> Stall:
    """Return the longest stall while ``work`` ran."""
    wall = cpu = 0.0
    running = True

    async def tick() -> None:
        nonlocal wall, cpu
        while running:
            began, computed = time.perf_counter(), time.thread_time()
            await asyncio.sleep(TICK)
            wall = max(wall, time.perf_counter() - began - TICK)
            cpu = max(cpu, time.thread_time() - computed)

    ticking = asyncio.create_task(tick())
    await asyncio.sleep(0)
    began = time.thread_time()
    await work
    whole = time.thread_time() - began
    running = False
    await ticking
    return Stall(wall, cpu, whole)


async def fill(store: StorageBackend, keys: int) -> None:
    """Store so many entries, in parts."""
    for start in range(0, keys, 10_000):
        stop = min(start + 10_000, keys)
        await store.set_many(
            {f"deal:{number:06}": {"n": number, "status": "open"} for number in range(start, stop)}
        )


async def point_operations(store: StorageBackend, rounds: int = 5) -> None:
    """Let many callers read, write and change entries at the same time."""
    value = {"status": "available", "product": {"product_id": "display"}, "text": "x" * 500}

    async def call(number: int) -> None:
        for round_ in range(rounds):
            key = f"session:{number}"
            await store.set(key, value)
            await store.get(key)
            await store.exists(key)
            await store.update(f"counter:{number % 10}", lambda current: (current or 0) + 1)
            if round_ % 5 == 4:
                await store.delete(key)

    await asyncio.gather(*(call(number) for number in range(CALLERS)))


async def one_caller(store: StorageBackend) -> None:
    """Let one caller do the same, one call after the other."""
    for number in range(200):
        await store.set("session:1", {"n": number})
        await store.get("session:1")


WORK: dict[str, Work] = {
    "nothing": lambda store, keys: asyncio.sleep(0.3),
    "point operations, one caller": lambda store, keys: one_caller(store),
    f"point operations, {CALLERS} callers": lambda store, keys: point_operations(store),
    "keys() over all": lambda store, keys: store.keys(),
    "keys() with a wildcard inside": lambda store, keys: store.keys("*1*2*"),
    "count() over all": lambda store, keys: store.count(),
    "list of 1,000": lambda store, keys: store.scan("deal:000*"),
    "scan() of all values": lambda store, keys: store.scan("deal:*"),
    "scan() by pages of 1,000": lambda store, keys: scan_pages(store),
    "get_many of 10,000": lambda store, keys: store.get_many([f"deal:{number:06}" for number in range(10_000)]),
    "set_many of 10,000": lambda store, keys: store.set_many(
        {f"many:{number}": number for number in range(10_000)}
    ),
}


async def scan_pages(store: StorageBackend) -> None:
    """Read everything page by page."""
    cursor: str | None = None
    while True:
        cursor = (await store.scan("deal:*", limit=1000, cursor=cursor)).cursor
        if cursor is None:
            return


async def growth(store: StorageBackend, operations: int = 20_000) -> float:
    """Return the megabytes by which this process grew over so many operations, after as many for warming up."""

    async def batch() -> None:
        for _ in range(operations // (4 * CALLERS * 5)):
            await point_operations(store)

    await batch()
    gc.collect()
    before = psutil.Process().memory_info().rss
    await batch()
    gc.collect()
    return (psutil.Process().memory_info().rss - before) / 1e6


@asynccontextmanager
async def stores(names: list[str]) -> AsyncIterator[dict[str, StorageBackend]]:
    """Open a new store of each kind."""
    with tempfile.TemporaryDirectory() as folder:
        server = RedisServer(Path(folder) / "redis") if "redis" in names else None
        if server is not None:
            server.start()
        urls = {"memory": "memory://", "sqlite": f"sqlite:///{folder}/store.db"}
        if server is not None:
            urls["redis"] = server.url
        opened = {name: open_url(urls.get(name, name)) for name in names}
        try:
            for store in opened.values():
                await store.connect()
            yield opened
            for store in opened.values():
                await store.disconnect()
        finally:
            if server is not None:
                server.stop()


async def main(arguments: Any) -> None:
    """Measure and print."""
    print(f"Longest stall of the event loop in ms, {arguments.rounds} rounds, {arguments.keys:,} keys")
    print(f"{'':45} {'best':>8} {'worst':>8} {'cpu':>8}")
    async with stores(arguments.stores) as opened:
        for name, store in opened.items():
            await fill(store, arguments.keys)
            for title, work in WORK.items():
                found = [await longest_stall(work(store, arguments.keys)) for _ in range(arguments.rounds)]
                walls = sorted(one.wall * 1000 for one in found)
                cpu = min(one.cpu for one in found) * 1000
                print(f"{name:8} {title:36} {walls[0]:8.2f} {walls[-1]:8.2f} {cpu:8.2f}", flush=True)
            print(f"{name:8} {'memory growth over 20,000 operations':36} {await growth(store):8.2f} MB", flush=True)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument(
        "stores", nargs="*", default=["memory", "sqlite", "redis"], help="memory, sqlite, redis or a URL"
    )
    parser.add_argument("--keys", type=int, default=100_000)
    parser.add_argument("--rounds", type=int, default=5)
    asyncio.run(main(parser.parse_args()))
