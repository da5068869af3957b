"""What goes wrong while a history is recorded. Each fault ends by itself; how it runs depends only on its seed."""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Protocol

import asyncpg

from ad_seller.storage.testing.postgres_server import PostgresServer
from ad_seller.storage.testing.redis_nodes import ask
from ad_seller.storage.testing.servers import RedisServer, ServerError
from tests.full_disk import limit_files
from tests.proxy import Proxy

from .clients import Clients
from .clocks import set_back

Fault = Callable[[Clients, random.Random], None]


class Server(Protocol):
    """A server of one's own, as `ad_seller.storage.testing` starts them."""

    def start(self) -> None: ...

    def kill(self) -> None: ...

    def restart(self) -> None: ...

    def freeze(self) -> None: ...

    def thaw(self) -> None: ...


def kill_client(clients: Clients, chance: random.Random) -> None:
    """`kill -9` of a client; another one takes its place."""
    clients.kill(chance.choice(clients.living))
    clients.start()


def kill_all_clients(clients: Clients, chance: random.Random) -> None:
    """`kill -9` of every client, in the middle of writing; nobody takes their place."""
    for one in clients.living:
        clients.kill(one)


def freeze_client(clients: Clients, chance: random.Random) -> None:
    """SIGSTOP of a client, with whatever it holds; then SIGCONT."""
    with clients.frozen(chance.choice(clients.living)):
        time.sleep(chance.uniform(0.05, 0.5))


def crash(server: Server) -> Fault:
    """Return the fault that ends the server by SIGKILL and starts it again."""

    def run(clients: Clients, chance: random.Random) -> None:
        server.kill()
        time.sleep(chance.uniform(0, 0.2))
        server.start()

    return run


def shut_down(end: Callable[[], None], server: Server) -> Fault:
    """Return the fault that ends the server by ``end`` and starts it again."""

    def run(clients: Clients, chance: random.Random) -> None:
        end()
        server.start()

    return run


def freeze(server: Server) -> Fault:
    """Return the fault that stops the server by SIGSTOP, at times longer than callers wait, and lets it go on."""

    def run(clients: Clients, chance: random.Random) -> None:
        server.freeze()
        time.sleep(chance.choice((0.1, 0.4, 1.2)))
        server.thaw()

    return run


def _misbehaving(proxy: Proxy, **how: float) -> Fault:
    def run(clients: Clients, chance: random.Random) -> None:
        for name, value in how.items():
            setattr(proxy, name, value)
        time.sleep(chance.uniform(0.1, 0.4))
        proxy.behave()

    return run


def links(proxy: Proxy) -> dict[str, Fault]:
    """Return what can happen on the way to a server."""
    return {
        "cut requests": _misbehaving(proxy, cut_requests=0.2),
        "cut answers": _misbehaving(proxy, cut_answers=0.2),
        "slow link": _misbehaving(proxy, delay=0.03),
        "slow link that breaks": _misbehaving(proxy, delay=0.01, cut_requests=0.1, cut_answers=0.1),
    }


def cut_by(servers: Callable[[], Sequence[RedisServer]]) -> Fault:
    """Return the fault that a Redis server ends the connections of all clients, now and then."""

    def run(clients: Clients, chance: random.Random) -> None:
        for _ in range(5):
            with suppress(ServerError):  # it is gone, or nobody knows yet who comes after it
                ask(chance.choice(servers()), "CLIENT", "KILL", "TYPE", "normal")
            time.sleep(chance.uniform(0.01, 0.1))

    return run


def full_server_disk(server: RedisServer | PostgresServer, room: Callable[[], int]) -> Fault:
    """Return the fault that the server's files cannot grow; then it is started anew.

    Args:
        server: whose files.
        room: where in its log the server writes now.
    """

    def run(clients: Clients, chance: random.Random) -> None:
        limit_files(server, room() + chance.choice((0, 300, 3000, 20_000)))  # in the middle of a record, too
        time.sleep(chance.uniform(0.1, 0.4))
        server.kill()
        server.start()

    return run


def end_of_wal(server: PostgresServer) -> int:
    """Return where in its segment the write-ahead log of PostgreSQL ends."""

    async def ask_it() -> int:
        connection = await asyncpg.connect(server.url())
        try:
            position: int = await connection.fetchval("SELECT (pg_current_wal_insert_lsn() - '0/0')::bigint")
            return position % (16 << 20)
        finally:
            await connection.close()

    return asyncio.run(ask_it())


def full_memory(server: RedisServer) -> Fault:
    """Return the fault that a Redis server has no memory for what would be written."""

    def run(clients: Clients, chance: random.Random) -> None:
        ask(server, "CONFIG", "SET", "maxmemory", "1")
        time.sleep(chance.uniform(0.1, 0.4))
        ask(server, "CONFIG", "SET", "maxmemory", "0")

    return run


def clock_set_back(shift: Path) -> Fault:
    """Return the fault that the clock of all clients is set back, and right again later.

    Args:
        shift: the file that says by how much; see `clocks`.
    """

    def run(clients: Clients, chance: random.Random) -> None:
        set_back(shift, chance.choice((0.5, 60.0, 3600.0)))
        time.sleep(chance.uniform(0.2, 0.6))
        set_back(shift, 0.0)

    return run
