"""What operators wait for: ``python -m benchmarks.operations_speed [--entries N]``.

A SQLite store of so many entries is copied to Redis and to PostgreSQL, looked through by `doctor` on each, and
saved while 64 tasks write to it; each longest wait of a writer stands beside the one of a run without a backup.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import resource
import statistics
import tempfile
import time
from collections.abc import Iterator
from contextlib import AsyncExitStack, ExitStack, contextmanager
from pathlib import Path
from typing import Any

from ad_seller.storage import StorageBackend, open_url
from ad_seller.storage.operations import backup, copy_entries
from ad_seller.storage.operations.doctor.data import examine_data

from .data import filler_key, record_key, value
from .engines import started

WRITERS = 64
SECONDS = 5.0  # of a run without a backup
ROUNDS = 3
DAY = 86_400


async def fill(store: StorageBackend, entries: int) -> None:
    """Store so many quotes; every fourth one expires."""
    for first in range(0, entries, 10_000):
        keys = [filler_key(number) for number in range(first, min(first + 10_000, entries))]
        for ttl, some in ((None, [*keys[1::4], *keys[2::4], *keys[3::4]]), (DAY, keys[::4])):
            await store.set_many({key: value(key, "s") for key in some}, ttl=ttl)


async def copied(
    source: StorageBackend, target: StorageBackend, entries: int, checkpoint: Path
) -> dict[str, float]:
    """Copy and verify; return entries a second of each."""
    began = time.perf_counter()
    over = began

    def seen(number: int) -> None:
        nonlocal over
        if number == entries and over == began:
            over = time.perf_counter()

    done = await copy_entries(source, target, checkpoint=checkpoint, progress=seen)
    ended = time.perf_counter()
    if done.stored != entries or done.verified.faults:
        raise SystemExit(f"The copy is no copy: {done}")
    return {
        "copied_per_second": round(entries / (over - began)),
        "verified_per_second": round(entries / (ended - over)),
    }


async def stopped(source: StorageBackend, target: StorageBackend, entries: int, checkpoint: Path) -> float:
    """Return the seconds of the last pass of a move, while the writers stand still; 1 of 50 entries differs."""
    for number in range(0, entries, 50):
        await source.set(filler_key(number), {"changed": number})
    began = time.perf_counter()
    done = await copy_entries(source, target, checkpoint=checkpoint, again=True, final=True)
    if done.verified.faults:
        raise SystemExit(f"The move is not finished: {done}")
    return round(time.perf_counter() - began, 2)


async def longest_wait(store: StorageBackend, until: asyncio.Future[Any]) -> float:
    """Write in 64 tasks until something is done; return the longest wait of one of them in milliseconds."""
    longest = 0.0

    async def write(task: int) -> None:
        nonlocal longest
        number = 0
        while not until.done():
            key = record_key("written", task * 1000 + number % 100)
            began = time.perf_counter()
            await store.set(key, value(key, "s", number))
            longest = max(longest, time.perf_counter() - began)
            number += 1

    await asyncio.gather(*(write(task) for task in range(WRITERS)))
    return longest * 1000


async def saved(store: StorageBackend, folder: Path) -> dict[str, Any]:
    """Save the store while others write, and let them write as long without it."""
    waits: dict[str, list[float]] = {"with": [], "without": []}
    for _ in range(ROUNDS):
        idle = asyncio.ensure_future(asyncio.sleep(SECONDS))
        waits["without"].append(await longest_wait(store, idle))
        saving = asyncio.ensure_future(backup(store, folder / "backup.db"))
        waits["with"].append(await longest_wait(store, saving))
        await saving
    return {f"longest_write_{name}_backup_ms": round(statistics.median(found)) for name, found in waits.items()}


async def looked_through(store: StorageBackend) -> float:
    """Return the seconds of a doctor that looks at all entries."""
    began = time.perf_counter()
    await examine_data(store)
    return round(time.perf_counter() - began, 1)


@contextmanager
def places() -> Iterator[dict[str, str]]:
    """Yield the URL of an empty store for each engine."""
    with ExitStack() as stack:
        yield {
            "sqlite": f"sqlite:///{stack.enter_context(tempfile.TemporaryDirectory())}/store.db",
            "redis": stack.enter_context(started("redis")).new("operations"),
            "postgres": stack.enter_context(started("postgres")).new("operations"),
        }


async def measured(urls: dict[str, str], entries: int) -> dict[str, Any]:
    """Return the figures for a store of so many entries."""
    figures: dict[str, Any] = {"entries": entries}
    async with AsyncExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        stores = {name: await stack.enter_async_context(open_url(url)) for name, url in urls.items()}
        source = stores["sqlite"]
        await fill(source, entries)
        for name, store in stores.items():
            told = figures[name] = {}
            if store is not source:
                told |= await copied(source, store, entries, folder / f"{name}.json")
            told["doctor_seconds"] = await looked_through(store)
        figures["most_memory_mib"] = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024
        for name in ("redis", "postgres"):
            figures[name]["stop_seconds"] = await stopped(source, stores[name], entries, folder / f"{name}.json")
        figures["sqlite"] |= await saved(source, folder)
    return figures


def main() -> None:
    """Print the figures as JSON."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--entries", type=int, default=1_000_000)
    with places() as urls:
        print(json.dumps(asyncio.run(measured(urls, parser.parse_args().entries)), indent=1))


if __name__ == "__main__":
    main()
