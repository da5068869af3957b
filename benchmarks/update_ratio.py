"""What atomicity costs: ``python benchmarks/update_ratio.py [memory sqlite redis]``.

Without contention, 64 tasks, each on keys of its own, do `set`, `update` and `transact`, the rounds interleaved:
operations a second, the median of the rounds, and the ratio to `set` of the same round; then the same ratio by
this process's CPU time, which other work on the machine hardly disturbs. With contention, 64 tasks change ONE key,
in one process and in four: how long a call takes, how often its work ran for each call, how many calls gave up.
"""

from __future__ import annotations

import argparse
import asyncio
import itertools
import json
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import ExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

from ad_seller.storage import ConflictError, StorageBackend, Transaction, open_url
from ad_seller.storage.testing.servers import RedisServer

TASKS = 64
RECORD: dict[str, Any] = {"status": "available", "pricing": {"cpm": 15.3}, "notes": "x" * 450}  # about 500 bytes
#: The seconds of each call, how often the work ran, how many calls gave up.
Contended = tuple[list[float], int, int]
Call = Callable[[str], Awaitable[Any]]


def change(record: dict[str, Any]) -> dict[str, Any]:
    return record | {"n": record.get("n", 0) + 1}


class Counted:
    """Counts how often the given work runs."""

    def __init__(self) -> None:
        self.runs = self.gave_up = 0

    def change(self, record: dict[str, Any]) -> dict[str, Any]:
        self.runs += 1
        return change(record)


def transaction(storage: StorageBackend, key: str, count: Counted) -> Awaitable[Any]:
    async def work(tx: Transaction) -> None:
        await tx.update(key, count.change)

    return storage.transact(work)


async def rate(call: Call, seconds: float) -> tuple[float, float]:
    """Return the calls of 64 tasks, each with 16 keys of its own, by second and by second of CPU."""
    calls = 0
    end = time.perf_counter() + seconds

    async def task(number: int) -> None:
        nonlocal calls
        while time.perf_counter() < end:
            await call(f"k{number}:{calls % 16}")
            calls += 1

    began, used = time.perf_counter(), time.process_time()
    await asyncio.gather(*(task(number) for number in range(TASKS)))
    return calls / (time.perf_counter() - began), calls / (time.process_time() - used)


async def uncontended(storage: StorageBackend, rounds: int, seconds: float) -> dict[str, list[tuple[float, float]]]:
    """Return the rates of each kind of call, round by round."""
    await storage.set_many({f"k{number}:{n}": RECORD for number in range(TASKS) for n in range(16)})
    numbers = itertools.count()
    calls: dict[str, Call] = {
        # A new value each time, as `update` has it: SQLite writes no page whose bytes stay the same.
        "set": lambda key: storage.set(key, RECORD | {"n": next(numbers)}),
        "update": lambda key: storage.update(key, change),
        "transact": lambda key: transaction(storage, key, Counted()),
    }
    rates: dict[str, list[tuple[float, float]]] = {name: [] for name in calls}
    for _ in range(rounds):
        for name, call in calls.items():
            rates[name].append(await rate(call, seconds))
    return rates


async def contended(storage: StorageBackend, kind: str, tasks: int, times: int) -> Contended:
    """Change one key, from all tasks."""
    count = Counted()
    seconds: list[float] = []

    async def task() -> None:
        for _ in range(times):
            began = time.perf_counter()
            try:
                await (
                    storage.update("hot", count.change) if kind == "update" else transaction(storage, "hot", count)
                )
            except ConflictError:
                count.gave_up += 1
            seconds.append(time.perf_counter() - began)

    await asyncio.gather(*(task() for _ in range(tasks)))
    return seconds, count.runs, count.gave_up


async def contender(url: str, kind: str, tasks: int, times: int) -> None:
    """Be one of several processes: wait for a line, then report as JSON."""
    async with open_url(url) as storage:
        print("ready", flush=True)
        await asyncio.to_thread(sys.stdin.readline)
        print(json.dumps(await contended(storage, kind, tasks, times)))


def contended_by_processes(url: str, kind: str, processes: int, times: int) -> Contended:
    order = json.dumps([url, kind, TASKS // processes, times])
    started = [
        subprocess.Popen(
            [sys.executable, __file__, "--contender", order],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        for _ in range(processes)
    ]
    for process in started:
        assert process.stdout is not None
        process.stdout.readline()
    for process in started:
        assert process.stdin is not None
        process.stdin.write("go\n")
        process.stdin.flush()
    answers = [json.loads(process.communicate()[0]) for process in started]
    seconds = [took for of_process, _, _ in answers for took in of_process]
    return seconds, sum(runs for _, runs, _ in answers), sum(gave_up for _, _, gave_up in answers)


@asynccontextmanager
async def opened(name: str, folder: Path) -> AsyncIterator[tuple[str, StorageBackend]]:
    with ExitStack() as servers:
        url = "memory://" if name == "memory" else f"sqlite:///{folder}/{name}.db"
        if name == "redis":
            url = servers.enter_context(RedisServer(folder / "redis", config={"appendonly": "yes"})).url
        async with open_url(url) as storage:
            yield url, storage


async def measure(name: str, rounds: int, seconds: float) -> None:
    with tempfile.TemporaryDirectory() as folder:
        async with opened(name, Path(folder)) as (url, storage):
            rates = await uncontended(storage, rounds, seconds)
            for kind, of_kind in rates.items():
                ratios, by_cpu = (
                    [rate[which] / plain[which] for rate, plain in zip(of_kind, rates["set"], strict=True)]
                    for which in (0, 1)
                )
                median = statistics.median(rate for rate, _ in of_kind)
                print(
                    f"| {name} | {kind} | {median:,.0f} | {statistics.median(ratios):.2f} "
                    f"({min(ratios):.2f} to {max(ratios):.2f}) | {statistics.median(by_cpu):.2f} |"
                )
            for kind in ("update", "transact"):
                for processes in (1,) if name == "memory" else (1, 4):
                    await storage.set("hot", RECORD)
                    if processes == 1:
                        report = await contended(storage, kind, TASKS, 5)
                    else:
                        report = await asyncio.to_thread(contended_by_processes, url, kind, processes, 5)
                    tell_contended(name, kind, processes, *report)


def tell_contended(name: str, kind: str, processes: int, seconds: list[float], runs: int, gave_up: int) -> None:
    median, most = 1000 * statistics.median(seconds), 1000 * max(seconds)
    print(
        f"| {name} | {kind} | one key, {processes} x {TASKS // processes} tasks | {median:.1f} ms | {most:.1f} ms "
        f"| {most / median:.1f} | {runs / len(seconds):.2f} | {gave_up} |"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description="What atomicity costs.")
    parser.add_argument("backends", nargs="*", default=["memory", "sqlite", "redis"])
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--seconds", type=float, default=0.5, help="of each round and kind")
    parser.add_argument("--contender", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.contender:
        asyncio.run(contender(*json.loads(arguments.contender)))
        return
    print("| backend | call | a second | ratio to set (rounds) | by CPU time |")
    print("|   then  | call | contention | median | slowest | slowest/median | runs for each call | gave up |")
    for name in arguments.backends:
        asyncio.run(measure(name, arguments.rounds, arguments.seconds))


if __name__ == "__main__":
    main()
