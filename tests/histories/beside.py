"""Faults that look themselves whether somebody is harmed: a store beside the clients, with entries of its own.

What they find is an AssertionError, which becomes a violation of the round.
"""

from __future__ import annotations

import asyncio
import itertools
import os
import random
import signal
import time
from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress
from functools import partial
from multiprocessing.connection import Connection
from typing import Any

import asyncpg
from redis import Redis

from ad_seller.storage import StorageBackend, StorageError, UnknownOutcomeError
from ad_seller.storage.postgres.statements import TABLE
from ad_seller.storage.postgres_backend import PostgresBackend
from ad_seller.storage.redis import listener
from ad_seller.storage.redis_backend import RedisBackend
from ad_seller.storage.testing.postgres_server import PostgresServer
from ad_seller.storage.testing.servers import RedisServer
from tests.proxy import Proxy

from .clients import CONTEXT, Clients
from .faults import Fault
from .operations import Keys

OpenStore = Callable[..., StorageBackend]

#: 9 MiB, which no server can press together; two of these are more than one call carries, on Redis and PostgreSQL.
_LARGE = random.Random(0).randbytes(9 << 19).hex()
_PATIENCE = 20.0  #: seconds until a server must have come back, or another have taken over
_TIMEOUT = 5.0  #: seconds that a call waits here
_MOST_KEPT = 34 << 20  #: bytes that a server may keep for one that listens: 32 MiB by its settings, and one piece
_MEGABYTE_OF_NAMES = tuple(f"{number:01000}" for number in range(1000))

_numbers = itertools.count(1)


def _own_name() -> str:
    """Return what the entries of a fault begin with: those of no other."""
    return f"beside:{os.getpid()}.{next(_numbers)}"


# --- a batch that takes several calls --------------------------------------------------------------------


def split_batch(open_store: OpenStore, end: Callable[[], object], begin: Callable[[], object]) -> Fault:
    """Return the fault that a server dies between the calls that carry one tick's writes.

    Each of their callers must have been told what became of its own.

    Args:
        open_store: a store on the server.
        end: ends the server as a crash does.
        begin: brings it back, or another one in its place.
    """

    def run(clients: Clients, chance: random.Random) -> None:
        asyncio.run(_split(open_store, end, begin, chance.choice((0.0, 0.0, 0.01, 0.1))))

    return run


async def _split(
    open_store: OpenStore, end: Callable[[], object], begin: Callable[[], object], later: float
) -> None:
    name = _own_name()
    first, small, second = (f"{name}:{{s}}:{part}" for part in ("first", "small", "second"))
    wanted = {first: _LARGE, small: 1, second: _LARGE}
    async with open_store(timeout=_TIMEOUT) as store:
        dying = asyncio.create_task(asyncio.to_thread(_end_when_there, open_store, first, later, end))
        calls = store.set(first, _LARGE), store.create(small, 1), store.set(second, _LARGE)
        told = await asyncio.gather(*calls, return_exceptions=True)
        await dying
        await asyncio.to_thread(begin)
        found = await _at_last(lambda: store.get_many(wanted))
        await _at_last(lambda: store.delete_many(wanted))
    for (key, value), outcome in zip(wanted.items(), told, strict=True):
        _judge(key, value, outcome, found)


def _end_when_there(open_store: OpenStore, key: str, later: float, end: Callable[[], object]) -> None:
    """End the server when an entry can be read, or a little later."""

    async def wait() -> None:
        until = time.monotonic() + 2
        async with open_store(timeout=_TIMEOUT) as store:
            while not await store.exists(key) and time.monotonic() < until:  # noqa: ASYNC110 - nothing tells
                await asyncio.sleep(0.001)
            time.sleep(later)
            end()

    asyncio.run(wait())


def _judge(key: str, value: object, outcome: object, found: Mapping[str, object]) -> None:
    if isinstance(outcome, UnknownOutcomeError):
        return
    if isinstance(outcome, StorageError):
        assert key not in found, f"{key} is there, and its caller was told: {outcome}"
    else:
        assert not isinstance(outcome, BaseException), f"no error for callers: {outcome!r}"
        assert found.get(key) == value, f"{key} was acknowledged and is not there"


async def _at_last(call: Callable[[], Awaitable[Any]]) -> Any:
    """Call until there is an answer: what is called may be done more than once."""
    until = time.monotonic() + 2 * _PATIENCE
    while True:
        try:
            return await call()
        except StorageError as error:
            if time.monotonic() > until:
                raise AssertionError(f"the servers do not come back: {error}") from error
        await asyncio.sleep(0.05)


# --- a locked row ----------------------------------------------------------------------------------------


def locked_row(server: PostgresServer) -> Fault:
    """Return the fault that another session holds two rows, one of the clients' and one that only we want.

    Whoever wants another row goes on meanwhile; who wants it, goes on afterwards.
    """

    def run(clients: Clients, chance: random.Random) -> None:
        asyncio.run(_lock(server.url(), clients.keys, chance))

    return run


async def _lock(url: str, keys: Keys, chance: random.Random) -> None:
    held, other = (f"{_own_name()}:{part}" for part in ("held", "other"))
    theirs = chance.choice((keys.registers[0], keys.counters[0], keys.pairs[0][0]))
    async with PostgresBackend(url, 1, 4, timeout=_TIMEOUT) as store:
        await store.set_many({held: 0, other: 0})
        session = await asyncpg.connect(url)
        try:
            async with session.transaction():
                await session.execute(f"SELECT FROM {TABLE} WHERE key IN ($1, $2) FOR UPDATE", held, theirs)
                waiting = [asyncio.create_task(store.set(held, number)) for number in (1, 2)]
                await asyncio.sleep(0.3)
                counted = await _count_up(store, other, chance.choice((0.1, 0.5, 1.0)))
                assert not any(task.done() for task in waiting), "the row was locked"
        finally:
            await session.close()
        assert counted > 0, "who wanted another row had to wait for the locked one"
        await asyncio.gather(*waiting)
        assert await store.get_many([held, other]) == {held: 2, other: counted}
        await store.delete_many([held, other])


async def _count_up(store: StorageBackend, key: str, seconds: float) -> int:
    """Return how often a counter was incremented in so many seconds."""
    counted = 0
    until = time.monotonic() + seconds
    with suppress(TimeoutError):
        async with asyncio.timeout(seconds + 1):
            while time.monotonic() < until:
                counted = await store.increment(key)
    return counted


# --- a listener that does not read -----------------------------------------------------------------------


def frozen_listener(server: RedisServer) -> Fault:
    """Return the fault that a process which has listed hangs, while others write much.

    What the server keeps for it must be bounded; when it goes on, its listing must be right.
    """

    def run(clients: Clients, chance: random.Random) -> None:
        ours, theirs = CONTEXT.Pipe()
        name = _own_name()
        process = CONTEXT.Process(target=_list_when_told, args=(server.url, f"{name}:*", theirs))
        process.start()
        try:
            assert _told(ours) == 0, "nothing is there yet"
            assert process.pid is not None
            os.kill(process.pid, signal.SIGSTOP)
            kept = _make_news(server.url, f"ad_seller:{name}:", chance.choice((1, 12, 40)))
            os.kill(process.pid, signal.SIGCONT)
            assert kept < _MOST_KEPT, f"the server keeps {kept:,} bytes for one that does not read"
            ours.send("list")
            assert _told(ours) == len(_MEGABYTE_OF_NAMES), "a listing after the news that was not read"
        finally:
            process.kill()
            process.join()
            _forget(server.url, f"ad_seller:{name}:")

    return run


def _told(connection: Connection) -> object:
    assert connection.poll(_PATIENCE), "the one who listens does not answer"
    return connection.recv()


def _list_when_told(url: str, pattern: str, connection: Connection) -> None:
    async def work() -> None:
        async with RedisBackend(url, timeout=_TIMEOUT) as store:
            connection.send(await store.count(pattern))
            await asyncio.to_thread(connection.recv)
            connection.send(await store.count(pattern))

    asyncio.run(work())


def _make_news(url: str, prefix: str, megabytes: int) -> int:
    """Write entries until their names are so many megabytes; return what the server kept at most for a listener."""
    kept = 0
    with Redis.from_url(url) as client:
        for number in range(megabytes):
            client.mset({prefix + name: number for name in _MEGABYTE_OF_NAMES})
            listening = [int(one["omem"]) for one in client.client_list() if one["name"] == listener.NAME]
            kept = max([kept, *listening])
    return kept


def _forget(url: str, prefix: str) -> None:
    with Redis.from_url(url) as client:
        client.unlink(*(prefix + name for name in _MEGABYTE_OF_NAMES))


# --- connections that are dropped without a sign ---------------------------------------------------------


def dropped(proxy: Proxy, open_store: OpenStore) -> Fault:
    """Return the fault that a firewall forgets all connections that there are, without a word to either side.

    Of our own calls, one after the other, one at most fails: then the other connections are in doubt, too.
    """

    def run(clients: Clients, chance: random.Random) -> None:
        asyncio.run(_drop(proxy, partial(open_store, timeout=0.5)))

    return run


async def _drop(proxy: Proxy, open_store: OpenStore) -> None:
    async with open_store() as store:
        await asyncio.gather(*(_read_some(store) for _ in range(8)))  # so that there are several connections
        proxy.era += 1
        failures = [error for _ in range(6) if (error := await _failure(store)) is not None]
    assert len(failures) <= 1, f"one call after the other failed: {failures}"


async def _read_some(store: StorageBackend) -> None:
    for _ in range(3):
        await store.get("beside")
        await asyncio.sleep(0)


async def _failure(store: StorageBackend) -> StorageError | None:
    try:
        await store.get("beside")
    except StorageError as error:
        return error
    return None


def beside_redis(server: RedisServer, proxy: Proxy) -> dict[str, Fault]:
    """Return those of a Redis server behind a proxy."""
    open_store = partial(RedisBackend, server.url)
    return {
        "split batch": split_batch(open_store, server.kill, server.start),
        "frozen listener": frozen_listener(server),
        "dropped connections": dropped(proxy, partial(RedisBackend, f"redis://127.0.0.1:{proxy.port}/0")),
    }


def beside_postgres(server: PostgresServer, proxy: Proxy) -> dict[str, Fault]:
    """Return those of a PostgreSQL server behind a proxy."""
    through = server.url().replace(f":{server.port}/", f":{proxy.port}/")
    return {
        "split batch": split_batch(partial(PostgresBackend, server.url(), 1, 2), server.kill, server.start),
        "locked row": locked_row(server),
        "dropped connections": dropped(proxy, partial(PostgresBackend, through, 1, 4)),
    }
