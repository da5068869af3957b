"""What an append to a log costs beside a plain set, on SQLite: ``python benchmarks/log_ratio.py [--entries N]``.

64 tasks, values of about 200 bytes, a log with two `by` fields; first empty, then among so many entries.
The rounds are interleaved.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import statistics
import tempfile
import time
from collections.abc import Awaitable, Callable
from typing import Any

from ad_seller.storage import open_url

TASKS = 64
ROUNDS = 7
EACH = 2_000


def event(number: int) -> dict[str, Any]:
    """Return an entry."""
    return {"n": number, "session_id": f"s{number % 500}", "kind": f"k{number % 20}", "text": "x" * 150}


async def spread(total: int, one: Callable[[int], Awaitable[object]]) -> float:
    """Run ``one`` for each number, in tasks; return how many a second."""

    async def some(first: int) -> None:
        for number in range(first, total, TASKS):
            await one(number)

    began = time.perf_counter()
    await asyncio.gather(*(some(first) for first in range(TASKS)))
    return total / (time.perf_counter() - began)


async def main() -> None:
    """Print the figures as JSON."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--entries", type=int, default=200_000)
    entries: int = parser.parse_args().entries
    with tempfile.TemporaryDirectory() as folder:
        async with open_url(f"sqlite:///{folder}/x.db") as storage:
            log = storage.log("event", by=("session_id", "kind"))
            for before in (0, entries):
                await spread(before, lambda number: log.append(event(number)))
                ratios = []
                for turn in range(ROUNDS):
                    place = f"plain:{before}:{turn}"
                    plain = await spread(EACH, lambda n, at=place: storage.set(f"{at}:{n:06}", event(n)))  # type: ignore[misc]
                    ratios.append(await spread(EACH, lambda number: log.append(event(number))) / plain)
                print(json.dumps({"entries": before, "append_to_set": round(statistics.median(ratios), 2)}))


if __name__ == "__main__":
    asyncio.run(main())
