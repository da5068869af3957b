"""What telemetry costs: ``python -m benchmarks.telemetry_ratio`` (``--engine redis``, ``--rounds 31``).

A part of a seller's day (records are set, read and changed) in one process, in turns of a tenth of a second: with
telemetry and without, one after the other, by turns in either order. For each way to switch it on the median over
all pairs of turns, by the clock and by the computing time of this process, which other work on the machine changes
less; then the same of the turns that took least on either side, which other work changes least of all. Where there
are traces, the agent has a span of its own for each part of its day, also without our telemetry.
Spans go to an exporter that drops them, in the thread of the SDK's processor.

With ``--agent`` there are requests over HTTP to ``examples/fastapi_app.py`` behind uvicorn: a quote is looked at,
booked and looked at again, by 16 buyers in a process of their own, in turns of a second. The computing time is that
of the agent.

Indented ways are the SDK around the same calls, without us: what it takes by itself. With ``--loop`` each way is
measured in a bare loop instead, with how long a call must be for nine tenths of the speed.

With ``--installed`` the computing time of two sorts of processes is compared instead: OpenTelemetry installed and
not switched on, and not to be found.
"""

from __future__ import annotations

import argparse
import asyncio
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import ExitStack, asynccontextmanager, nullcontext
from functools import partial
from pathlib import Path
from typing import Any

from .telemetry_agent import served
from .telemetry_ways import Way, in_a_loop, ways

ROOT = Path(__file__).parents[1]
CALLERS = (1, 64)
SECONDS = 0.1  #: of a turn
OF_AN_AGENT = (
    "off, once more",
    "counters",
    "counters, 1 % of traces",
    "histogram, 1 % of traces",
    "histogram, every span",
)


async def part_of_a_day(store: Any, number: int) -> int:
    """Do what an agent does about one quote, and return how many calls that were."""
    quote = {"status": "available", "product": {"product_id": "display"}, "price": {"cpm": 12.5}, "n": number}
    await store.set_quote(f"qt-{number}", quote)
    await store.get_quote(f"qt-{number}")
    await store.create(f"deal:{number}", {"status": "proposed", "quote_id": f"qt-{number}"})
    await store.update(f"deal:{number}", lambda deal: {**deal, "status": "booked"})
    await store.get_many([f"deal:{number}", f"quote:qt-{number}", "product:display"])
    await store.get(f"deal:{number}")
    await store.delete(f"deal:{number}")
    await store.exists(f"deal:{number}")
    return 8


async def calls_a_second(
    store: Any,
    callers: int,
    way: Way,
) -> tuple[float, float]:
    """Return how many calls are answered in a second, and the microseconds of computing time of one."""
    began, cpu = time.perf_counter(), time.process_time()
    done = 0

    async def caller(first: int) -> None:
        nonlocal done
        number = first
        while number == first or time.perf_counter() - began < SECONDS:  # once at least, on a busy machine
            with way.span():
                calls = await part_of_a_day(store, number)
            done += calls
            number += callers

    await asyncio.gather(*(caller(first) for first in range(callers)))
    return done / (time.perf_counter() - began), (time.process_time() - cpu) / done * 1e6


@asynccontextmanager
async def opened(engine: str, folder: Path) -> AsyncIterator[Any]:
    """Yield a connected store of an engine, on a server of its own."""
    from ad_seller.storage import open_url
    from ad_seller.storage.testing.postgres_server import PostgresServer
    from ad_seller.storage.testing.servers import RedisServer, find_redis_binary

    with ExitStack() as servers:
        if engine == "redis":
            url = servers.enter_context(RedisServer(folder, binary=find_redis_binary())).url
        elif engine == "postgres":
            url = servers.enter_context(PostgresServer()).url()
        else:
            url = "memory://" if engine == "memory" else f"sqlite:///{folder}/telemetry.db"
        async with open_url(url) as store:
            await store.set_product("display", {"name": "Display"})
            yield store


async def compare(engine: str, rounds: int) -> None:
    """Print the ratios of one engine."""
    with tempfile.TemporaryDirectory() as folder:
        async with opened(engine, Path(folder)) as store:
            for callers in CALLERS:
                print(f"{engine}, {callers} callers: on by off, by the clock and by CPU; us of CPU of a call, more")
                for name, way in ways().items():
                    await show(name, partial(turn_of_calls, store, callers, way), rounds)


async def turn_of_calls(store: Any, callers: int, way: Way, is_on: bool) -> tuple[float, float]:
    """Return what calls take, with telemetry or without."""
    with way.on(store) if is_on else nullcontext(store) as called:
        return await calls_a_second(called, callers, way)


async def compare_agent(engine: str, rounds: int) -> None:
    """Print the ratios of an agent on one engine."""
    compared = ways()
    with tempfile.TemporaryDirectory() as folder:
        async with opened(engine, Path(folder)) as store, served(store) as agent:
            print(f"{engine}, an agent: on by off, by the clock and by CPU; us of CPU of a request, more")
            for name in OF_AN_AGENT:
                await show(name, partial(agent.turn, compared[name]), rounds)


async def show(name: str, turn: Callable[[bool], Awaitable[tuple[float, float]]], rounds: int) -> None:
    """Print what pairs of turns say of one way."""
    pairs = []
    for number in range(rounds + 2):
        turns = {is_on: await turn(is_on) for is_on in ((True, False) if number % 2 else (False, True))}
        (speed, cpu), (base, less) = turns[True], turns[False]
        pairs.append((speed / base, less / cpu, less, cpu - less))
    clock, by_cpu, less, more = (statistics.median(column) for column in zip(*pairs[2:], strict=True))
    least, most = min(off for *_, off, _ in pairs[2:]), min(off + on for *_, off, on in pairs[2:])
    best = f"{least / most:5.2f} {least:7.1f} {most - least:+6.1f}"
    print(f"    {name:26}{clock:5.2f} {by_cpu:5.2f} {less:7.1f} {more:+6.1f}   {best}", flush=True)


async def child(engine: str) -> None:
    """Print the computing time of a call, of a process."""
    with tempfile.TemporaryDirectory() as folder:
        async with opened(engine, Path(folder)) as store:
            for callers in CALLERS:
                turns = [await calls_a_second(store, callers, Way(is_on=False)) for _ in range(20)]
                print(min(cpu for _, cpu in turns[2:]))


def installed(engine: str, rounds: int) -> None:
    """Print what it costs that the library can be found."""
    command = [sys.executable, "-m", "benchmarks.telemetry_ratio", "--engine", engine, "--child"]
    pairs = []
    for _ in range(rounds):
        runs = [
            subprocess.run([*command, *more], cwd=ROOT, capture_output=True, text=True, check=True).stdout.split()
            for more in (["--hidden"], [])
        ]
        pairs.append([float(without) / float(with_it) for without, with_it in zip(*runs, strict=True)])
    for callers, ratios in zip(CALLERS, zip(*pairs, strict=True), strict=True):
        print(
            f"{engine:8} {callers:3} callers  installed, not switched on: {statistics.median(ratios):.2f}",
            flush=True,
        )


def main() -> None:
    """Compare, or be one of the processes."""
    parser = argparse.ArgumentParser(description="What telemetry costs.")
    parser.add_argument("--engine", choices=("memory", "sqlite", "redis", "postgres"))
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--installed", action="store_true", help="compare with a process that finds no library")
    parser.add_argument("--agent", action="store_true", help="compare what requests to an agent take")
    parser.add_argument("--loop", action="store_true", help="what each way takes of a call in a bare loop")
    parser.add_argument("--child", action="store_true", help=argparse.SUPPRESS)
    parser.add_argument("--hidden", action="store_true", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.hidden:
        sys.modules["opentelemetry"] = None  # type: ignore[assignment]
    if arguments.child:
        asyncio.run(child(arguments.engine))
        return
    if arguments.loop:
        asyncio.run(in_a_loop(ways()))
        return
    for engine in [arguments.engine] if arguments.engine else ["memory", "sqlite", "redis", "postgres"]:
        if arguments.installed:
            installed(engine, arguments.rounds)
        else:
            asyncio.run((compare_agent if arguments.agent else compare)(engine, arguments.rounds))


if __name__ == "__main__":
    main()
