"""Faults of a Redis server that look themselves whether somebody is harmed."""

from __future__ import annotations

import asyncio
import os
import random
import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial
from multiprocessing.connection import Connection

from redis import Redis

from ad_seller.storage.redis import listener
from ad_seller.storage.redis_backend import RedisBackend
from ad_seller.storage.testing.redis_nodes import ask
from ad_seller.storage.testing.servers import RedisServer
from tests.proxy import Proxy

from .beside import PATIENCE, TIMEOUT, dropped, own_name, refused_neighbour, split_batch
from .clients import CONTEXT, Clients
from .faults import Fault

_MOST_KEPT = 34 << 20  #: bytes that a server may keep for one that listens: 32 MiB by its settings, and one piece
_MEGABYTE_OF_NAMES = tuple(f"{number:01000}" for number in range(1000))


def beside_redis(server: RedisServer, proxy: Proxy) -> dict[str, Fault]:
    """Return those of a Redis server behind a proxy."""
    open_store = partial(RedisBackend, server.url)
    return {
        "split batch": split_batch(open_store, server.kill, server.start),
        "refused neighbour": refused_neighbour(open_store, partial(_without_memory, server)),
        "frozen listener": frozen_listener(server),
        "dropped connections": dropped(proxy, partial(RedisBackend, f"redis://127.0.0.1:{proxy.port}/0")),
    }


@asynccontextmanager
async def _without_memory(server: RedisServer, prefix: str) -> AsyncIterator[None]:
    ask(server, "CONFIG", "SET", "maxmemory", "1")
    try:
        yield
    finally:
        ask(server, "CONFIG", "SET", "maxmemory", "0")


# --- a listener that does not read -----------------------------------------------------------------------


def frozen_listener(server: RedisServer) -> Fault:
    """Return the fault that a process which has listed hangs, while others write much.

    What the server keeps for it must be bounded; when it goes on, its listing must be right.
    """

    def run(clients: Clients, chance: random.Random) -> None:
        ours, theirs = CONTEXT.Pipe()
        name = own_name()
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
    assert connection.poll(PATIENCE), "the one who listens does not answer"
    return connection.recv()


def _list_when_told(url: str, pattern: str, connection: Connection) -> None:
    async def work() -> None:
        async with RedisBackend(url, timeout=TIMEOUT) as store:
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
