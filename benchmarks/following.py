"""How soon a follower has an entry, and what waiting costs: ``python benchmarks/following.py [sqlite redis]``.

A log is followed, and messages of an outbox are taken, while another process appends and puts at random moments
about a second apart. Median and worst milliseconds from the call of `append` (`put`) to the entry in the other
process, and the listings that waiting costs in a minute without any entry.
"""

from __future__ import annotations

import argparse
import asyncio
import random
import statistics
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from ad_seller.storage import StorageBackend, open_url
from ad_seller.storage.testing.postgres_server import PostgresServer
from ad_seller.storage.testing.servers import RedisServer

Sent = Callable[[Any], Awaitable[object]]


def url_of(name: str, folder: Path, servers: ExitStack) -> str:
    """Return where the store is, with a server of its own where it needs one."""
    if name == "sqlite":
        return f"sqlite:///{folder}/following.db"
    if name == "postgres":
        return servers.enter_context(PostgresServer()).url()
    return servers.enter_context(RedisServer(folder / "redis")).url


async def write(storage: StorageBackend, what: str, count: int) -> None:
    """Append or put; what is sent is the time, by a clock that all processes share."""
    send: Sent = storage.log("bench").append if what == "follow" else storage.outbox("bench").put
    for _ in range(count):
        await asyncio.sleep(random.uniform(0.3, 1.7))
        await send(time.monotonic())


async def write_at(url: str, what: str, count: int) -> None:
    async with open_url(url) as storage:
        await write(storage, what, count)


async def entries(storage: StorageBackend) -> AsyncIterator[float]:
    async for entry in storage.log("bench").follow():
        yield entry.value


async def messages(storage: StorageBackend) -> AsyncIterator[float]:
    async for message in storage.outbox("bench").work():
        yield message.value
        await message.done()


async def taken(sent: AsyncIterator[float], count: int) -> list[float]:
    """Return the milliseconds that each took to come."""
    times: list[float] = []
    for _ in range(count):
        called = await anext(sent)
        times.append(1000 * (time.monotonic() - called))
    return times


class Counting:
    """Counts the listings of a backend."""

    def __init__(self, storage: StorageBackend) -> None:
        self.count = 0
        self._scan = storage.scan
        storage.scan = self._counted  # type: ignore[method-assign]

    async def _counted(self, *arguments: Any, **named: Any) -> Any:
        self.count += 1
        return await self._scan(*arguments, **named)


async def measure(name: str, count: int, idle_seconds: float, *, within: bool) -> None:
    with tempfile.TemporaryDirectory() as folder, ExitStack() as servers:
        url = url_of(name, Path(folder), servers)
        async with open_url(url) as storage:
            counting = Counting(storage)
            for what, read in (("follow", entries), ("work", messages)):
                sent = read(storage)
                reader = asyncio.ensure_future(taken(sent, count))
                await asyncio.sleep(1)
                if within:
                    await write(storage, what, count)
                else:
                    order = (sys.executable, __file__, "--write", what, url, "--count", str(count))
                    writer = await asyncio.create_subprocess_exec(*order)
                    await writer.wait()
                times = await reader
                waiting = asyncio.ensure_future(anext(sent))
                await asyncio.sleep(2)
                counting.count = 0
                await asyncio.sleep(idle_seconds)
                looks = counting.count * 60 / idle_seconds
                waiting.cancel()
                await asyncio.gather(waiting, return_exceptions=True)
                where = "one process" if within else "two processes"
                middle, worst = statistics.median(times), max(times)
                print(f"| {name}, {where} | {what} | {middle:.1f} | {worst:.1f} | {looks:.0f} |", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("backends", nargs="*", default=["sqlite", "postgres", "redis"])
    parser.add_argument("--count", type=int, default=30)
    parser.add_argument("--idle", type=float, default=30.0, help="seconds for which nothing is sent")
    parser.add_argument("--within", action="store_true", help="append in the process that follows")
    parser.add_argument("--write", nargs=2, metavar=("WHAT", "URL"), help="only append or put there")
    arguments = parser.parse_args()
    if arguments.write:
        asyncio.run(write_at(arguments.write[1], arguments.write[0], arguments.count))
        return
    print("| store | reader | median ms | worst ms | listings a minute |")
    print("|---|---|---|---|---|")
    for name in arguments.backends:
        asyncio.run(measure(name, arguments.count, arguments.idle, within=arguments.within))


if __name__ == "__main__":
    main()
