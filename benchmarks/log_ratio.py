"""What an append to a log costs beside a plain set: ``python benchmarks/log_ratio.py [sqlite redis] [--events N]``.

64 tasks, values of about 200 bytes, a log with two `by` fields; first empty, then among so many entries, which are
stored in bulk. Beside both, what agents do today: one record, and two JSON lists of ids that are read, made longer
and written at each event. The rounds are interleaved; the medians of their ratios to the plain set.
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

from ad_seller.storage import StorageBackend, new_id, open_url
from ad_seller.storage.seller.log_entries import FIELD_MARK, LogForm
from ad_seller.storage.testing.postgres_server import PostgresServer
from ad_seller.storage.testing.servers import RedisServer

TASKS = 64
ROUNDS = 7
EACH = 2_000
LISTED = 64  #: events of a round with lists: at a hundredth of the speed it takes as long as the others
FILLED_AT_ONCE = 600  #: so that Redis stores the three keys of each by one MSET
SESSIONS, KINDS = 500, 20
BY = ("session_id", "kind")


def url_of(name: str, folder: Path, servers: ExitStack) -> str:
    """Return where the store is, with a server of its own where it needs one, which flushes each commit."""
    if name == "sqlite":
        return f"sqlite:///{folder}/log.db"
    if name == "postgres":
        config = {"fsync": "on", "full_page_writes": "on"}
        return servers.enter_context(PostgresServer(config=config)).url()
    return servers.enter_context(RedisServer(folder / "redis", config={"maxmemory": "0"})).url


def event(number: int) -> dict[str, Any]:
    """Return an entry."""
    return {
        "n": number,
        "session_id": f"s{number % SESSIONS}",
        "kind": f"k{number % KINDS}",
        "text": "x" * 150,
    }


async def spread(total: int, one: Callable[[int], Awaitable[object]]) -> float:
    """Run ``one`` for each number, in tasks; return how many a second."""

    async def some(first: int) -> None:
        for number in range(first, total, TASKS):
            await one(number)

    began = time.perf_counter()
    await asyncio.gather(*(some(first) for first in range(TASKS)))
    return total / (time.perf_counter() - began)


async def fill(storage: StorageBackend, events: int) -> None:
    """Store what so many appends leave behind, and the lists of as many events."""
    form = LogForm.of("event", BY)
    lists: dict[str, list[str]] = {}
    for first in range(0, events, FILLED_AT_ONCE):
        entries: dict[str, Any] = {}
        for number in range(first, min(first + FILLED_AT_ONCE, events)):
            entry_id, value = new_id(), event(number)
            key, *marks = form.keys_of(entry_id, value)
            entries |= {key: value, **dict.fromkeys(marks, FIELD_MARK)}
            for name in lists_of(value):
                lists.setdefault(name, []).append(entry_id)
        await storage.set_many(entries)
    for name, ids in lists.items():
        await storage.set(name, ids)


def lists_of(value: dict[str, Any]) -> list[str]:
    """Return the keys of the lists that an agent of today keeps."""
    return [f"event_index:session:{value['session_id']}", f"event_index:type:{value['kind']}"]


async def append_to_lists(storage: StorageBackend, number: int) -> None:
    """Store an event as an agent of today does, with its lists; one at a time, or ids are lost."""
    entry_id, value = new_id(), event(number)
    await storage.set(f"listed:{entry_id}", value)
    for name in lists_of(value):
        await storage.set(name, [*(await storage.get(name) or []), entry_id])


async def measure(name: str, events: int) -> None:
    with tempfile.TemporaryDirectory() as folder, ExitStack() as servers:
        url = url_of(name, Path(folder), servers)
        async with open_url(f"{url}{'&' if '?' in url else '?'}timeout=60") as storage:  # lists take their time
            log = storage.log("event", by=BY)
            for before in (0, events):
                await fill(storage, before)
                appended, listed, plain = [], [], []
                for turn in range(ROUNDS):
                    place = f"plain:{before}:{turn}"

                    async def put(number: int, place: str = place) -> None:
                        await storage.set(f"{place}:{number:06}", event(number))

                    plain.append(await spread(EACH, put))
                    appended.append(await spread(EACH, lambda number: log.append(event(number))))
                    listed.append(await spread(LISTED, lambda number: append_to_lists(storage, number)))
                ratios = [
                    statistics.median(one / other for one, other in zip(column, plain, strict=True))
                    for column in (appended, listed)
                ]
                speeds = [statistics.median(column) for column in (plain, appended, listed)]
                print(
                    f"| {name} | {before:,} | {' | '.join(f'{speed:,.0f}' for speed in speeds)} "
                    f"| {ratios[0]:.2f} | {ratios[1]:.4f} |",
                    flush=True,
                )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("backends", nargs="*", default=["sqlite"])
    parser.add_argument("--events", "--entries", type=int, default=200_000)
    arguments = parser.parse_args()
    print("| store | entries | set a second | append a second | with lists a second | append / set | lists / set |")
    print("|---|---|---|---|---|---|---|")
    for name in arguments.backends:
        asyncio.run(measure(name, arguments.events))


if __name__ == "__main__":
    main()
