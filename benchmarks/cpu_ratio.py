"""Computing time, time by the clock and memory of this package against another checkout's, each with a server or
file of its own: ``python benchmarks/cpu_ratio.py sqlite|redis|postgres|memory OTHER/src [set update …]``, or all
kinds of call.

A process for each side, which take turns; the figures are medians of the rounds' ratios, the other's time by this
one's: below 1, this package takes longer. What the server computes is in the time by the clock only, which says
something on a quiet machine. Two processes of one package differ by up to 5 %: with ``--pairs 5`` both sides are
started five times. The span says where the median of such rounds of these processes is, in 19 of 20 cases; other
processes can have another one. Memory is what a process holds when the store is open and filled, and at the end.

Run it as ``taskset -c 0 python …``: the same lone call takes half as long again where the server is on another CPU,
for as long as the system leaves both where they are.
"""

from __future__ import annotations

import argparse
import asyncio
import logging
import math
import subprocess
import sys
import time
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from typing import IO, Any

ROUNDS = 15
ENTRIES = 2_000
ORDERS = 1_000  #: of which a tenth is approved
VALUE = {"a": "x" * 180, "n": 1}
WORKLOADS = [
    *((kind, tasks, times) for kind in ("get", "set") for tasks, times in ((1, 600), (64, 25), (512, 4))),
    ("set-ttl", 64, 20),
    ("delete-set", 64, 20),
    *((kind, tasks, times) for kind in ("update", "move") for tasks, times in ((1, 300), (64, 20))),
    ("count", 1, 200),
    ("keys", 1, 100),
    ("scan", 1, 50),
    ("list", 1, 10),
    ("find", 1, 30),
    ("open", 1, 10),
]


# --- one side ------------------------------------------------------------------------------------------------


def backend(url: str) -> Any:
    if url.startswith("redis"):
        from ad_seller.storage.redis_backend import RedisBackend

        return RedisBackend(url)
    if url.startswith("sqlite"):
        from ad_seller.storage.sqlite_backend import SQLiteBackend

        return SQLiteBackend(url)
    if url == "memory":
        from ad_seller.storage.memory_backend import MemoryBackend

        return MemoryBackend()
    from ad_seller.storage.postgres_backend import PostgresBackend

    return PostgresBackend(url)


async def _moved(store: Any, key: str, number: int) -> None:
    other = f"item:{(int(key[5:]) + 7) % ENTRIES}"

    async def work(tx: Any) -> None:
        here, there = await tx.get(key), await tx.get(other)
        await tx.set(key, {**here, "n": here["n"] - 1})
        await tx.set(other, {**there, "n": there["n"] + 1})

    await store.transact(work, attempts=1_000)


async def _replaced(store: Any, key: str, number: int) -> None:
    await store.delete(key)
    await store.set(key, VALUE)


#: What is called with a key and a number.
CALLS: dict[str, Callable[[Any, str, int], Awaitable[Any]]] = {
    "get": lambda store, key, _: store.get(key),
    "set": lambda store, key, number: store.set(key, {**VALUE, "n": number}),
    "set-ttl": lambda store, key, number: store.set(key, {**VALUE, "n": number}, ttl=3_600),
    "delete-set": _replaced,
    "update": lambda store, key, _: store.update(key, lambda value: {**value, "n": 1}),
    "move": _moved,
    "count": lambda store, _key, _: store.count("item:1*"),
    "keys": lambda store, _key, _: store.keys("item:1*"),
    "scan": lambda store, _key, _: store.scan("item:1*", limit=100),
    "list": lambda store, _key, _: store.scan("item:1*"),
    "find": lambda store, _key, _: store.list_orders({"status": "approved"}),
}


async def call(store: Any, url: str, kind: str, first: int, times: int) -> None:
    for number in range(times):
        key = f"item:{(first * 31 + number) % ENTRIES}"
        if kind == "open":
            async with backend(url) as another:
                await another.get(key)
        else:
            await CALLS[kind](store, key, number)


def resident() -> float:
    """Return the MiB of memory that the process holds."""
    [line] = [one for one in Path("/proc/self/status").read_text().splitlines() if one.startswith("VmRSS")]
    return int(line.split()[1]) / 1024


async def serve(url: str) -> None:
    """Do what each line says, and print what it took."""
    async with backend(url) as store:
        await store.set_many({f"item:{number}": VALUE for number in range(ENTRIES)})
        for number in range(ORDERS):
            await store.set_order(f"O-{number}", {**VALUE, "status": "draft" if number % 10 else "approved"})
        print(f"ready {resident():.1f}", flush=True)
        for line in sys.stdin:
            kind, tasks, times = line.split()
            if kind == "memory":
                print(resident(), flush=True)
                continue
            computing, clock = time.process_time(), time.perf_counter()
            await asyncio.gather(*(call(store, url, kind, task, int(times)) for task in range(int(tasks))))
            took = time.process_time() - computing, time.perf_counter() - clock
            print(*(seconds / (int(tasks) * int(times)) * 1e6 for seconds in took), flush=True)


# --- both ----------------------------------------------------------------------------------------------------


class Side:
    """A process with one of the packages."""

    def __init__(self, source: Path, url: str) -> None:
        command = [sys.executable, __file__, "--side", url, str(source)]
        self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        self.first = float(self._line().removeprefix("ready "))

    def ask(self, kind: str, tasks: int = 0, times: int = 0) -> list[float]:
        """Return microseconds of computing and by the clock for a call; for "memory", the MiB."""
        stdin: IO[str] | None = self.process.stdin
        assert stdin is not None
        stdin.write(f"{kind} {tasks} {times}\n")
        stdin.flush()
        return [float(word) for word in self._line().split()]

    def _line(self) -> str:
        assert self.process.stdout is not None
        if not (line := self.process.stdout.readline()):
            raise SystemExit("a side has ended")
        return line

    def end(self) -> None:
        assert self.process.stdin is not None
        self.process.stdin.close()
        self.process.wait(30)


@contextmanager
def address(engine: str) -> Iterator[str]:
    """Yield the address of a server or a file of its own."""
    from ad_seller.storage.testing.postgres_server import PostgresServer
    from ad_seller.storage.testing.servers import RedisServer

    if engine == "postgres":
        with PostgresServer() as server:
            yield server.url()
    elif engine == "memory":
        yield engine
    elif engine == "sqlite":
        with TemporaryDirectory() as folder:
            yield f"sqlite:///{folder}/store.db"
    else:
        with TemporaryDirectory() as folder, RedisServer(folder) as redis:
            yield redis.url


def compared(pairs: list[tuple[float, float]]) -> str:
    """Return the median ratio of the other's time to ours, the span of such medians, and our time.

    The span is the one of the binomial distribution: the ranks 0.98 times the root of their number off the middle.
    """
    ratios = sorted(theirs / ours for ours, theirs in pairs)
    off = math.ceil(0.98 * math.sqrt(len(ratios)))
    low, high = ratios[max(len(ratios) // 2 - off, 0)], ratios[min(len(ratios) // 2 + off, len(ratios) - 1)]
    return f"{median(ratios):.2f} ({low:.2f} to {high:.2f}), {median(ours for ours, _ in pairs):.1f} us"


def turns(sides: list[Side], kind: str, tasks: int, times: int) -> Iterator[list[list[float]]]:
    """Yield what each round took on either side, after one that does not count."""
    for turn in range(ROUNDS + 1):
        order = (0, 1) if turn % 2 else (1, 0)
        found = {side: sides[side].ask(kind, tasks, times) for side in order}
        if turn:
            yield [found[0], found[1]]


def main(engine: str, other: Path, kinds: list[str], pairs: int) -> None:
    own = Path(__file__).resolve().parents[1] / "src"
    workloads = [one for one in WORKLOADS if not kinds or one[0] in kinds]
    took: dict[tuple[str, int], list[list[list[float]]]] = {(kind, tasks): [] for kind, tasks, _ in workloads}
    for _ in range(pairs):
        with address(engine) as first, address(engine) as second:
            sides = [Side(own, first), Side(other, second)]
            print(f"memory at first: {sides[0].first:.1f} MiB, the other's {sides[1].first:.1f}", flush=True)
            for kind, tasks, times in workloads:
                took[kind, tasks] += turns(sides, kind, tasks, times)
            print("memory at last: {:.1f} MiB, the other's {:.1f}".format(*(one.ask("memory")[0] for one in sides)))
            for side in sides:
                side.end()
    for (kind, tasks), rounds in took.items():
        for what, number in (("computing", 0), ("by the clock", 1)):
            ratio = compared([(ours[number], theirs[number]) for ours, theirs in rounds])
            print(f"{kind}, {tasks} tasks, {what}: {ratio}", flush=True)


def asked() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Computing time against another checkout's.")
    parser.add_argument("engine", choices=("sqlite", "redis", "postgres", "memory"))
    parser.add_argument("other", type=Path, help="the other checkout's src")
    parser.add_argument("kinds", nargs="*", help="kinds of call (default: all)")
    parser.add_argument("--pairs", type=int, choices=range(1, 100), default=1, metavar="N", help="of processes")
    return parser.parse_intermixed_args()


if __name__ == "__main__":
    if sys.argv[1] == "--side":
        logging.disable()  # a server for tests keeps nothing on disk, which is told at each opening
        sys.path.insert(0, sys.argv[3])
        asyncio.run(serve(sys.argv[2]))
    else:
        args = asked()
        main(args.engine, args.other, args.kinds, args.pairs)
