"""An outbox on SQLite: ``python benchmarks/outbox_speed.py [--messages N] [--backlog N]``.

64 producers put while 4 workers of the same process deliver; and what a put costs with and without a backlog, in
one interleaved run.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import statistics
import tempfile
import time
from collections.abc import Awaitable, Callable

from ad_seller.storage import StorageBackend, open_url

PRODUCERS = 64
WORKERS = 4
ROUNDS = 7


async def spread(total: int, tasks: int, one: Callable[[int], Awaitable[object]]) -> float:
    """Run ``one`` for each number in so many tasks; return how many a second."""

    async def some(first: int) -> None:
        for number in range(first, total, tasks):
            await one(number)

    began = time.perf_counter()
    await asyncio.gather(*(some(first) for first in range(tasks)))
    return total / (time.perf_counter() - began)


async def deliver(storage: StorageBackend, total: int) -> float:
    """Put and deliver at the same time; return messages a second, from the first put to the last answer."""
    outbox = storage.outbox("hooks")
    left = total
    finished = asyncio.Event()

    async def work() -> None:
        nonlocal left
        async for message in outbox.work(idle=0.05):
            async with message:
                left -= 1
            if left == 0:
                finished.set()

    workers = [asyncio.ensure_future(work()) for _ in range(WORKERS)]
    began = time.perf_counter()
    await spread(total, PRODUCERS, lambda number: outbox.put({"n": number}, key=f"buyer-{number % 500}"))
    await finished.wait()
    seconds = time.perf_counter() - began
    for worker in workers:
        worker.cancel()
    await asyncio.gather(*workers, return_exceptions=True)
    return total / seconds


async def main() -> None:
    """Print the figures as JSON."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--messages", type=int, default=10_000)
    parser.add_argument("--backlog", type=int, default=100_000)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        async with open_url(f"sqlite:///{folder}/a.db") as empty, open_url(f"sqlite:///{folder}/b.db") as full:
            behind = full.outbox("hooks")
            await spread(arguments.backlog, 512, lambda number: behind.put({"n": number}, key=str(number)))
            ratios = []
            for _ in range(ROUNDS):
                free = await spread(2_000, PRODUCERS, lambda n: empty.outbox("x").put({"n": n}, key=str(n)))
                late = await spread(2_000, PRODUCERS, lambda n: behind.put({"n": n}, key=str(n)))
                ratios.append(late / free)
            speed = await deliver(empty, arguments.messages)
    figures = {
        "messages_per_second": round(speed),
        "put_with_backlog_to_without": round(statistics.median(ratios), 2),
        "backlog": arguments.backlog,
    }
    print(json.dumps(figures))


if __name__ == "__main__":
    asyncio.run(main())
