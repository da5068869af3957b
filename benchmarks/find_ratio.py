"""What finding costs: ``python benchmarks/find_ratio.py [sqlite postgres redis] [--entries N] [--without-key]``.

Searches against a `get_many` of as many records, in turn on one store, one caller: 100 records by a field among
100,000, and the newest 50 of 1,000,000 events, with and without a field. Median milliseconds of the rounds, and
the median of the ratios to the `get_many` of the same round.
"""

from __future__ import annotations

import argparse
import asyncio
import statistics
import tempfile
import time
from collections.abc import Awaitable, Callable
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from ad_seller.storage import StorageBackend, new_id
from ad_seller.storage.postgres_backend import PostgresBackend
from ad_seller.storage.redis_backend import RedisBackend
from ad_seller.storage.sqlite_backend import SQLiteBackend
from ad_seller.storage.testing.postgres_server import PostgresServer
from ad_seller.storage.testing.servers import RedisServer

INDEXES = ["ticket.owner", "event.session_id+key", "event.kind+key"]
WITHOUT_KEY = [index.removesuffix("+key") for index in INDEXES]
TICKETS, OWNED, NEWEST = 100_000, 100, 50
FILLED_AT_ONCE = 5_000
NOTES = "x" * 300

Call = Callable[[], Awaitable[Any]]


def made(name: str, folder: Path, servers: ExitStack, indexes: list[str]) -> StorageBackend:
    """Return the backend, with a server of its own where it needs one."""
    if name == "sqlite":
        return SQLiteBackend(f"sqlite:///{folder}/find.db", indexes=indexes)
    if name == "postgres":
        return PostgresBackend(servers.enter_context(PostgresServer()).url(), indexes=indexes, timeout=60)
    return RedisBackend(servers.enter_context(RedisServer(folder / "redis")).url, indexes=indexes, timeout=60)


async def fill(storage: StorageBackend, events: int) -> list[str]:
    """Store tickets and events; return the keys of the newest events."""
    owners = TICKETS // OWNED
    for first in range(0, TICKETS, FILLED_AT_ONCE):
        await storage.set_many(
            {
                f"ticket:{n:06}": {"owner": f"o{n % owners}", "n": n, "notes": NOTES}
                for n in range(first, min(first + FILLED_AT_ONCE, TICKETS))
            }
        )
    keys: list[str] = []
    for first in range(0, events, FILLED_AT_ONCE):
        batch = {
            new_id("event:"): {"session_id": f"s{n % (events // 100)}", "kind": f"k{n % 5}", "n": n, "notes": NOTES}
            for n in range(first, min(first + FILLED_AT_ONCE, events))
        }
        await storage.set_many(batch)
        keys = [*keys, *batch][-NEWEST:]
    return keys


def searches(storage: StorageBackend, newest: list[str]) -> dict[str, tuple[Call, Call, int]]:
    """Return for each question the search, the `get_many` of as many, and how many those are."""
    owned = [f"ticket:{n:06}" for n in range(7, TICKETS, TICKETS // OWNED)]
    return {
        f"find {OWNED} of {TICKETS:,}": (
            lambda: storage.find("ticket", {"owner": "o7"}),
            lambda: storage.get_many(owned),
            OWNED,
        ),
        f"newest {NEWEST} of all": (
            lambda: storage.scan("event:*", reverse=True, limit=NEWEST),
            lambda: storage.get_many(newest),
            NEWEST,
        ),
        f"newest {NEWEST} of a fifth": (
            lambda: storage.find("event", {"kind": "k1"}, reverse=True, limit=NEWEST),
            lambda: storage.get_many(newest),
            NEWEST,
        ),
        f"newest {NEWEST} of 100": (
            lambda: storage.find("event", {"session_id": "s77"}, reverse=True, limit=NEWEST),
            lambda: storage.get_many(newest),
            NEWEST,
        ),
    }


async def milliseconds(call: Call, expected: int) -> float:
    began = time.perf_counter()
    answer = await call()
    took = time.perf_counter() - began
    found = answer if isinstance(answer, dict) else answer.items
    assert len(found) == expected, (len(found), expected)
    return 1000 * took


async def measure(name: str, events: int, rounds: int, indexes: list[str]) -> None:
    with tempfile.TemporaryDirectory() as folder, ExitStack() as servers:
        async with made(name, Path(folder), servers, indexes) as storage:
            newest = await fill(storage, events)
            for question, (search, get_many, expected) in searches(storage, newest).items():
                await search()
                times = [
                    (await milliseconds(search, expected), await milliseconds(get_many, expected))
                    for _ in range(rounds)
                ]
                ratio = statistics.median(one / other for one, other in times)
                found, read = (statistics.median(column) for column in zip(*times, strict=True))
                print(f"| {name} | {question} | {found:.2f} | {read:.2f} | {ratio:.2f} |", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description="What finding costs.")
    parser.add_argument("backends", nargs="*", default=["sqlite", "postgres", "redis"])
    parser.add_argument("--entries", type=int, default=1_000_000, help="events")
    parser.add_argument("--rounds", type=int, default=51)
    parser.add_argument("--without-key", action="store_true", help="indexes as they are if nothing is said")
    arguments = parser.parse_args()
    indexes = WITHOUT_KEY if arguments.without_key else INDEXES
    print("| backend | question | ms | get_many of as many, ms | ratio |")
    print("|---|---|---|---|---|")
    for name in arguments.backends:
        asyncio.run(measure(name, arguments.entries, arguments.rounds, indexes))


if __name__ == "__main__":
    main()
