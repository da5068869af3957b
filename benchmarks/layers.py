"""Where the time of a call goes: ``python -m benchmarks.layers [sqlite redis postgres]``.

One caller asks each layer in turn, from the engine's own call up to `get` and `set`, the rounds interleaved. Then
64 and 512 tasks; their first line is a task that only awaits a future which another one sets: the least that any
call costs whose answer comes from elsewhere. Figures are microseconds a call in the best round: computing time of
this process with all its threads, and time by the clock.
"""

from __future__ import annotations

import asyncio
import itertools
import os
import sqlite3
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path
from typing import Any, cast

from ad_seller.storage.driver.commit import Commit, Put
from ad_seller.storage.postgres_backend import PostgresBackend
from ad_seller.storage.records.codec import encode
from ad_seller.storage.redis.commands import RoutedCommand
from ad_seller.storage.redis.engine import RedisEngine
from ad_seller.storage.redis_backend import RedisBackend
from ad_seller.storage.sqlite import statements as sqlite_sql
from ad_seller.storage.sqlite_backend import SQLiteBackend
from ad_seller.storage.testing.postgres_server import PostgresServer
from ad_seller.storage.testing.servers import RedisServer

ROUNDS = 7
CALLS = 1_000
MANY = 20_480
KEY = "deal:1"

Call = Callable[[], Awaitable[Any]]
Layers = dict[str, Call]
_number = itertools.count()


def record() -> dict[str, Any]:
    """A value of about 218 bytes, never the same: engines skip pages that do not change."""
    return {"n": next(_number), "notes": "x" * 190}


async def turn() -> None:
    await asyncio.sleep(0)


@asynccontextmanager
async def sqlite(folder: Path) -> AsyncIterator[Layers]:
    async with SQLiteBackend(f"sqlite:///{folder / 'layers.db'}") as store:
        await store.set(KEY, record())
        database = store._shared.current
        assert database is not None
        local = database.local()
        assert local is not None

        async def statement() -> None:
            local.attempt(None, sqlite_sql.read_one, KEY, time.time())

        async def hop() -> None:
            await database.read(lambda db: None)

        async def commit() -> None:
            commits = [Commit((), (Put(KEY, encode(record()), None),))]
            await database.write(lambda db: sqlite_sql.apply(db, commits, time.time))

        async def begin_and_end() -> None:
            await database.write(empty_transaction)

        yield {
            "an event-loop turn": turn,
            "SELECT on the loop": statement,
            "get": lambda: store.get(KEY),
            "a hop to a thread and back": hop,
            "... with BEGIN, COMMIT": begin_and_end,
            "... with the commit of a set": commit,
            "set": lambda: store.set(KEY, record()),
        }
        local.close_for_good()


def empty_transaction(db: sqlite3.Connection) -> None:
    db.execute("BEGIN IMMEDIATE")
    db.execute("COMMIT")


@asynccontextmanager
async def redis(folder: Path) -> AsyncIterator[Layers]:
    with RedisServer(folder) as server:
        async with RedisBackend(server.url) as store:
            await store.set(KEY, record())
            engine = cast(RedisEngine, (await store._here()).engine)
            pool = engine.router._pool_at(server.url)
            command = ("MGET", f"{store.key_prefix}{KEY}")
            loop = asyncio.get_running_loop()
            yield {
                "an event-loop turn": turn,
                "connection": lambda: pool._idle[-1].send([command], loop.time() + 5),
                "... from the pool": lambda: pool.pipeline([command], loop.time() + 5),
                "... by the router": lambda: engine.router.send([RoutedCommand(KEY, command)], writes=False),
                "read": lambda: engine.read([KEY]),
                "get": lambda: store.get(KEY),
                "set": lambda: store.set(KEY, record()),
            }


@asynccontextmanager
async def postgres(folder: Path) -> AsyncIterator[Layers]:
    import asyncpg

    from ad_seller.storage.postgres import statements as sql
    from ad_seller.storage.postgres.engine import PostgresEngine

    with PostgresServer() as server:
        async with PostgresBackend(server.url()) as store:
            await store.set(KEY, record())
            engine = cast(PostgresEngine, (await store._here()).engine)
            plain = await asyncpg.connect(server.url())
            prepared = await plain.prepare(sql.READ_ONE)
            yield {
                "an event-loop turn": turn,
                "asyncpg, prepared": lambda: prepared.fetch(KEY),
                "asyncpg, by text": lambda: plain.fetch(sql.READ_ONE, KEY),
                "client": lambda: engine._client.read(sql.READ_ONE, KEY),
                "read": lambda: engine.read([KEY]),
                "get": lambda: store.get(KEY),
                "set": lambda: store.set(KEY, record()),
            }
            await plain.close()


async def futures(tasks: int) -> None:
    """Let so many tasks wait for a future each, again and again."""
    waiting: list[asyncio.Future[None]] = []
    loop = asyncio.get_running_loop()

    async def wait() -> None:
        for _ in range(MANY // tasks):
            waiting.append(future := loop.create_future())
            await future

    work = asyncio.gather(*(wait() for _ in range(tasks)))
    while not work.done():
        await asyncio.sleep(0)
        for future in waiting:
            future.set_result(None)
        waiting.clear()


async def together(call: Call, tasks: int) -> None:
    async def one() -> None:
        for _ in range(MANY // tasks):
            await call()

    await asyncio.gather(*(one() for _ in range(tasks)))


async def again(call: Call) -> None:
    for _ in range(CALLS):
        await call()


async def best(works: Mapping[str, Callable[[], Awaitable[None]]], calls: int) -> None:
    """Print the microseconds of a call in the best round."""
    least = {name: (float("inf"), float("inf")) for name in works}
    for _ in range(ROUNDS):
        for name, work in works.items():
            computed, began = time.process_time(), time.perf_counter()
            await work()
            spent = (time.process_time() - computed, time.perf_counter() - began)
            least[name] = (min(spent[0], least[name][0]), min(spent[1], least[name][1]))
    for name, (cpu, wall) in least.items():
        print(f"  {name:32}{cpu / calls * 1e6:8.1f}{wall / calls * 1e6:8.1f}")


async def show(engine: str, folder: Path) -> None:
    async with {"sqlite": sqlite, "redis": redis, "postgres": postgres}[engine](folder) as layers:
        print(f"{engine:34}     cpu    wall   (microseconds a call)")
        await best({name: partial(again, call) for name, call in layers.items()}, CALLS)
        for tasks in (64, 512):
            works = {f"{tasks} tasks: a future each": partial(futures, tasks)}
            for name in ("get", "set"):
                works[f"{tasks} tasks: {name}"] = partial(together, layers[name], tasks)
            await best(works, MANY)


def main() -> None:
    engines = sys.argv[1:] or ["sqlite", "redis", "postgres"]
    print(f"load {os.getloadavg()[0]:.1f}, best of {ROUNDS} rounds")
    for engine in engines:
        with tempfile.TemporaryDirectory(prefix="ad_seller_layers_") as folder:
            asyncio.run(show(engine, Path(folder)))


if __name__ == "__main__":
    main()
