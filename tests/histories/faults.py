"""What goes wrong while a history is recorded. Each fault ends by itself; how it runs depends only on its seed."""

from __future__ import annotations

import asyncio
import random
import resource
import sqlite3
import time
from collections.abc import Callable, Sequence
from contextlib import closing, suppress
from pathlib import Path
from typing import Protocol

import asyncpg

from ad_seller.storage import StorageError
from ad_seller.storage.sqlite_backend import SQLiteBackend
from ad_seller.storage.testing.postgres_server import PostgresServer
from ad_seller.storage.testing.redis_groups import RedisCluster
from ad_seller.storage.testing.redis_nodes import ask
from ad_seller.storage.testing.redis_sentinels import SERVICE, SentinelGroup
from ad_seller.storage.testing.servers import RedisServer, ServerError
from tests.full_disk import limit_files
from tests.proxy import Proxy

from .clients import Clients

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


def full_disk(path: Path) -> Fault:
    """Return the fault that no file of the clients can grow; a limit on the size of files stands for the disk."""

    def run(clients: Clients, chance: random.Random) -> None:
        log = path.with_name(f"{path.name}-wal")
        size = log.stat().st_size if log.exists() else 0
        size += chance.choice((0, 0, 3000, 9000))  # in the middle of a page of the log, too
        clients.limit(resource.RLIMIT_FSIZE, size)
        time.sleep(chance.uniform(0.1, 0.4))
        clients.limit(resource.RLIMIT_FSIZE, resource.RLIM_INFINITY)

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


def foreign_lock(path: Path) -> Fault:
    """Return the fault that another program holds the file's write lock."""

    def run(clients: Clients, chance: random.Random) -> None:
        with closing(sqlite3.connect(path, timeout=5, isolation_level=None)) as db:
            db.execute("BEGIN IMMEDIATE")
            time.sleep(chance.uniform(0.05, 0.5))
            db.execute("ROLLBACK")

    return run


def copy_of(path: Path) -> None:
    """Copy the file with its log, as somebody does who does not know better: by opening and closing them."""
    for suffix in ("", "-wal", "-shm"):
        with suppress(OSError):
            path.with_name(path.name + suffix).read_bytes()


def copied(path: Path) -> Fault:
    """Return the fault that clients copy the file that they have open, and another program comes and goes."""

    def run(clients: Clients, chance: random.Random) -> None:
        for client in chance.sample(clients.living, chance.randint(1, len(clients.living))):
            clients.disturb(client)
        time.sleep(chance.uniform(0.01, 0.1))
        _come_and_go(path)

    return run


def removed_log(path: Path) -> Fault:
    """Return the fault that somebody removes the log, its index or both; another of our programs comes and goes."""

    def run(clients: Clients, chance: random.Random) -> None:
        for suffix in chance.choice((("-wal",), ("-shm",), ("-wal", "-shm"))):
            path.with_name(path.name + suffix).unlink(missing_ok=True)
        asyncio.run(_connect_and_leave(path))
        _come_and_go(path)

    return run


def _come_and_go(path: Path) -> None:
    with closing(sqlite3.connect(path, timeout=5)) as db, suppress(sqlite3.OperationalError):
        db.execute("SELECT count(*) FROM kv_store").fetchone()


async def _connect_and_leave(path: Path) -> None:
    store = SQLiteBackend(str(path))
    with suppress(StorageError):
        await store.connect()
        await store.count()
    await store.disconnect()


def of_a_cluster(group: RedisCluster) -> dict[str, Fault]:
    """Return what can happen to a master of a cluster, while others take over."""

    def kill(clients: Clients, chance: random.Random) -> None:
        chance.choice(group.masters()).kill()
        group.wait_until_ok()  # if it came back before another one takes over, it would be an empty master

    def freeze(clients: Clients, chance: random.Random) -> None:
        _freeze_for_a_while(chance.choice(group.masters()), chance)

    def move(clients: Clients, chance: random.Random) -> None:
        group.wait_until_ok()
        with group.moving(f"ad_seller:{clients.keys.pairs[0][0]}") as slot:
            time.sleep(chance.uniform(0, 0.3))
            slot.move_keys(1)
            time.sleep(chance.uniform(0, 0.3))

    return {"master killed": kill, "master frozen": freeze, "slot moved": move}


def kill_master(group: SentinelGroup) -> Fault:
    """Return the fault that ends the master by SIGKILL; it comes back when another has taken over."""

    def run(clients: Clients, chance: random.Random) -> None:
        group.kill_master()

    return run


def freeze_master(group: SentinelGroup) -> Fault:
    """Return the fault that the master hangs, and lives on as if nothing had been."""

    def run(clients: Clients, chance: random.Random) -> None:
        _freeze_for_a_while(group.master(), chance)

    return run


def orderly_fail_over(group: SentinelGroup) -> Fault:
    """Return the fault that the sentinels are told to choose another master, while the old one serves on."""

    def run(clients: Clients, chance: random.Random) -> None:
        ask(group.sentinels[0], "SENTINEL", "FAILOVER", SERVICE)

    return run


def _freeze_for_a_while(server: Server, chance: random.Random) -> None:
    """Freeze a master until another one has surely taken over, or just not."""
    server.freeze()
    time.sleep(chance.choice((0.5, 1.5, 4.0)))
    server.thaw()
