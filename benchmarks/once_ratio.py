"""What `run_once` costs in two trees of sources: ``python benchmarks/once_ratio.py /other/checkout/src src``.

CPU of calls without contention, in interleaved runs of a process each: new requests, and repeats.
"""

from __future__ import annotations

import argparse
import asyncio
import statistics
import subprocess
import sys
import tempfile
import time
from typing import Any

WHAT = ("memory, new", "memory, repeat", "sqlite, new", "sqlite, repeat")


async def measure() -> None:
    """Print the microseconds of CPU of each kind of call."""
    from ad_seller.storage import open_url

    async def work(tx: Any) -> Any:
        await tx.set("deal:1", {"a": 1})
        return {"deal_id": "d-1", "price": 15.0}

    with tempfile.TemporaryDirectory() as folder:
        for url, calls in (("memory://", 3000), (f"sqlite:///{folder}/once.db", 600)):
            async with open_url(url) as storage:
                for first, keys in ((0, 200), (1000, calls), (0, 200), (0, 200)):
                    times = calls // keys
                    began = time.process_time()
                    for number in range(keys * times):
                        await storage.run_once("book:acme", f"k{first + number % keys}", {"quote": 1}, work)
                    print((time.process_time() - began) / (keys * times) * 1e6)


def main() -> None:
    """Compare, or be one of the processes."""
    parser = argparse.ArgumentParser(description="What run_once costs in two trees of sources.")
    parser.add_argument("before")
    parser.add_argument("after")
    parser.add_argument("--rounds", type=int, default=11)
    parser.add_argument("--child", action="store_true", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.child:
        sys.path.insert(0, arguments.before)
        asyncio.run(measure())
        return
    trees = (arguments.before, arguments.after)
    rounds = [[_run(tree) for tree in trees] for _ in range(arguments.rounds)]
    for number, what in enumerate(WHAT):
        before, after = ([of_round[tree][number] for of_round in rounds] for tree in (0, 1))
        ratio = statistics.median(new / old for old, new in zip(before, after, strict=True))
        print(f"{what:15} {statistics.median(before):7.1f} us, {statistics.median(after):7.1f} us, {ratio:.2f}")


def _run(tree: str) -> list[float]:
    command = [sys.executable, "-P", __file__, tree, tree, "--child"]
    lines = subprocess.run(command, capture_output=True, text=True, check=True).stdout.split()
    return [float(lines[n]) for n in (1, 3, 5, 7)]


if __name__ == "__main__":
    main()
