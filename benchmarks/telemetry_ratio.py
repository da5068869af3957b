"""What telemetry costs: ``python benchmarks/telemetry_ratio.py`` (``--engine redis``, ``--rounds 11``).

Interleaved runs in one process, each a part of a seller's day (records are set, read and changed): with telemetry
off, off again, without an SDK, with metrics only, with one trace of a hundred, and with every span. For each the
calls a second as a ratio to off, and what a call costs this process in computing time, the least of all runs: that
depends less on what else the machine does. Spans go to an exporter that drops them, in the thread of the SDK's
processor.

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
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import ExitStack, asynccontextmanager, contextmanager
from pathlib import Path
from typing import Any

CALLERS = (1, 64)
SECONDS = 0.4


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


async def calls_a_second(store: Any, callers: int) -> tuple[float, float]:
    """Return how many calls are answered in a second, and the microseconds of computing time of one."""
    began, cpu = time.perf_counter(), time.process_time()
    done = 0

    async def caller(first: int) -> None:
        nonlocal done
        number = first
        while time.perf_counter() - began < SECONDS:
            calls = await part_of_a_day(store, number)
            done += calls
            number += callers

    await asyncio.gather(*(caller(first) for first in range(callers)))
    return done / (time.perf_counter() - began), (time.process_time() - cpu) / done * 1e6


def modes() -> dict[str, Callable[[], Any]]:
    """Return how telemetry is switched on, by name; the context switches it off again."""
    from opentelemetry.metrics import NoOpMeterProvider
    from opentelemetry.sdk.metrics import MeterProvider
    from opentelemetry.sdk.metrics.export import InMemoryMetricReader
    from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
    from opentelemetry.sdk.trace.export import BatchSpanProcessor, SpanExporter, SpanExportResult
    from opentelemetry.sdk.trace.sampling import ALWAYS_ON, ParentBased, TraceIdRatioBased
    from opentelemetry.trace import NoOpTracerProvider

    from ad_seller.storage.telemetry import instrument, uninstrument

    class Dropped(SpanExporter):
        def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
            return SpanExportResult.SUCCESS

    def tracing(sampler: Any) -> Any:
        provider = TracerProvider(sampler=sampler)
        provider.add_span_processor(BatchSpanProcessor(Dropped()))
        return provider

    meters = MeterProvider(metric_readers=[InMemoryMetricReader()])
    some, every = tracing(ParentBased(TraceIdRatioBased(0.01))), tracing(ALWAYS_ON)

    @contextmanager
    def on(tracer_provider: Any, meter_provider: Any) -> Iterator[None]:
        instrument(tracer_provider=tracer_provider, meter_provider=meter_provider)
        try:
            yield
        finally:
            uninstrument()

    return {
        "off": ExitStack,
        "off again": ExitStack,
        "no SDK": lambda: on(NoOpTracerProvider(), NoOpMeterProvider()),
        "metrics": lambda: on(NoOpTracerProvider(), meters),
        "1 % of traces": lambda: on(some, meters),
        "every span": lambda: on(every, meters),
    }


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
    ways = modes()
    with tempfile.TemporaryDirectory() as folder:
        async with opened(engine, Path(folder)) as store:
            for callers in CALLERS:
                await calls_a_second(store, callers)
                runs: dict[str, list[tuple[float, float]]] = {name: [] for name in ways}
                for _ in range(rounds):
                    for name, way in ways.items():
                        with way():
                            runs[name].append(await calls_a_second(store, callers))
                print_ratios(f"{engine}, {callers} callers", runs)


def print_ratios(what: str, runs: dict[str, list[tuple[float, float]]]) -> None:
    """Print what the interleaved runs say."""
    off = [speed for speed, _ in runs["off"]]
    print(f"{what}: {statistics.median(off):,.0f} calls a second with telemetry off")
    for name, of_way in runs.items():
        ratio = statistics.median(speed / base for (speed, _), base in zip(of_way, off, strict=True))
        print(f"    {name:14} {ratio:5.2f} {min(cpu for _, cpu in of_way):7.1f} us", flush=True)


async def child(engine: str) -> None:
    """Print the computing time of a call, of a process."""
    with tempfile.TemporaryDirectory() as folder:
        async with opened(engine, Path(folder)) as store:
            for callers in CALLERS:
                await calls_a_second(store, callers)
                print(min([(await calls_a_second(store, callers))[1] for _ in range(5)]))


def installed(engine: str, rounds: int) -> None:
    """Print what it costs that the library can be found."""
    command = [sys.executable, __file__, "--engine", engine, "--child"]
    pairs = []
    for _ in range(rounds):
        runs = [
            subprocess.run([*command, *more], capture_output=True, text=True, check=True).stdout.split()
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
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--installed", action="store_true", help="compare with a process that finds no library")
    parser.add_argument("--child", action="store_true", help=argparse.SUPPRESS)
    parser.add_argument("--hidden", action="store_true", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.hidden:
        sys.modules["opentelemetry"] = None  # type: ignore[assignment]
    if arguments.child:
        asyncio.run(child(arguments.engine))
        return
    for engine in [arguments.engine] if arguments.engine else ["memory", "sqlite", "redis", "postgres"]:
        if arguments.installed:
            installed(engine, arguments.rounds)
        else:
            asyncio.run(compare(engine, arguments.rounds))


if __name__ == "__main__":
    main()
