"""Our pool of PostgreSQL connections and asyncpg's own, in turn on one server: `python -m benchmarks.asyncpg_pool`.

asyncpg's resets nothing (`reset=`, since 0.30). Medians of the rounds, by computing time of this process.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from statistics import median
from typing import Any

import asyncpg

from ad_seller.storage.postgres.client import PostgresClient
from ad_seller.storage.postgres.login import Known, Login
from ad_seller.storage.postgres.url import parse_postgres_url
from ad_seller.storage.testing.postgres_server import PostgresServer

ROUNDS = 25
SECONDS = 5.0

Call = Callable[[], Awaitable[Any]]


async def nothing(_connection: object) -> None:
    """Leave a connection as it is."""


async def repeat(call: Call, tasks: int, times: int) -> float:
    """Return the microseconds of computing time of one call."""

    async def one() -> None:
        for _ in range(times):
            await call()

    began = time.process_time()
    await asyncio.gather(*(one() for _ in range(tasks)))
    return (time.process_time() - began) / (tasks * times) * 1e6


async def compare(title: str, ours: Call, theirs: Call) -> None:
    for tasks, times in ((1, 400), (64, 15)):
        rounds: list[tuple[float, float]] = []
        for turn in range(ROUNDS):
            order = (ours, theirs) if turn % 2 else (theirs, ours)
            took = {call: await repeat(call, tasks, times) for call in order}
            rounds.append((took[ours], took[theirs]))
        ratio = median(other / own for own, other in rounds)
        own, other = (median(column) for column in zip(*rounds, strict=True))
        print(f"{title}, {tasks} tasks: {own:.1f} us, asyncpg's {other:.1f}, {ratio:.2f} times", flush=True)


async def main() -> None:
    with PostgresServer() as server:
        url, known = parse_postgres_url(server.url()), Known()
        login = Login(url, password=None, timeout=SECONDS, statement_cache=True, known=known)
        client = PostgresClient(login, least=2, most=10, timeout=SECONDS)
        await client.open(None)
        loop = asyncio.get_running_loop()
        async with asyncpg.create_pool(server.url(), min_size=2, max_size=10, reset=nothing) as pool:

            async def their_statement() -> None:
                async with pool.acquire(timeout=SECONDS) as connection:
                    await connection.fetch("SELECT 1", timeout=SECONDS)

            async def take_ours() -> None:
                client._pool.release(await client._pool.acquire(loop.time() + SECONDS, first=False))

            async def take_theirs() -> None:
                await pool.release(await pool.acquire(timeout=SECONDS))

            await compare("a statement", lambda: client.read("SELECT 1"), their_statement)
            await compare("taking and giving back", take_ours, take_theirs)
        await client.close()


if __name__ == "__main__":
    asyncio.run(main())
