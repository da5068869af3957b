"""Where histories are recorded: each backend on real engines of its own, and what can go wrong there."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any

from ad_seller.storage import StorageBackend
from ad_seller.storage.hybrid_backend import HybridBackend
from ad_seller.storage.memory_backend import MemoryBackend
from ad_seller.storage.postgres_backend import PostgresBackend
from ad_seller.storage.redis_backend import RedisBackend
from ad_seller.storage.sqlite_backend import SQLiteBackend
from ad_seller.storage.testing.postgres_server import PostgresServer
from ad_seller.storage.testing.redis_groups import RedisCluster, SentinelGroup
from ad_seller.storage.testing.servers import RedisServer
from tests.full_disk import end_of_log
from tests.proxy import Proxy

from . import beside, faults, file_faults, group_faults
from .beside_postgres import beside_postgres
from .beside_redis import beside_redis
from .clocks import on_clock, set_back
from .faults import Fault
from .operations import Keys

#: What makes an acknowledged write survive the end of the server.
DURABLE_REDIS = {"appendonly": "yes", "appendfsync": "always"}
DURABLE_POSTGRES = {"fsync": "on", "full_page_writes": "on"}


_EFFECTS = 12  #: of a history: so many that some are made at any time of it


@dataclass(frozen=True)
class Arena:
    """A store that clients fight over.

    Attributes:
        open_store: makes a backend with a given ``timeout``; it can be pickled.
        faults: by name.
        mend: makes everything whole again.
        clients: how many processes.
        tasks: how many tasks each.
        seconds: how long a history is.
        pause: seconds between two operations of a task at most.
        sides: what keys begin with; those of one pair have the same.
        batches: whether `set_many` and `get_many` are atomic.
        shared: whether other processes can read it, too.
        undone: faults after which unconfirmed writes may be undone.
        loops: how many event loops of a process use one store.
        disturb: what a process does to itself when it is told to; see `Clients.disturb`.
    """

    open_store: Callable[..., StorageBackend]
    faults: dict[str, Fault] = field(default_factory=dict)
    mend: Callable[[], None] = lambda: None
    clients: int = 3
    tasks: int = 4
    seconds: float = 1.0
    pause: float = 0.008
    sides: tuple[str, ...] = ("",)
    batches: bool = True
    shared: bool = True
    undone: frozenset[str] = frozenset()
    loops: int = 1
    disturb: Callable[[], None] | None = None

    def keys(self, name: str) -> Keys:
        """Return keys that belong to this name."""
        return Keys(
            registers=tuple(f"{side}{name}:r{number}" for side in self.sides for number in range(3)),
            counters=tuple(f"{side}{name}:c" for side in self.sides),
            pairs=tuple((f"{side}{name}:{{p}}:a", f"{side}{name}:{{p}}:b") for side in self.sides),
            batches=self.batches,
            effects=tuple(f"{name}:{{e}}:e{number}" for number in range(_EFFECTS)),
            outbox=f"{name}:{{e}}",
        )


_OF_CLIENTS: dict[str, Fault] = {"kill client": faults.kill_client, "freeze client": faults.freeze_client}


@contextmanager
def memory(folder: Path) -> Iterator[Arena]:
    """In the process itself: many tasks, and nothing can go wrong but cancellations and the clock."""
    clock = folder / "clock"
    set_back(clock, 0.0)
    more = {"clock set back": faults.clock_set_back(clock)}
    yield Arena(partial(on_clock, clock, MemoryBackend), more, clients=1, tasks=12, shared=False)


@contextmanager
def sqlite(folder: Path) -> Iterator[Arena]:
    """Several processes on one file."""
    path, clock = folder / "store.db", folder / "clock"
    set_back(clock, 0.0)
    more = {
        "clock set back": faults.clock_set_back(clock),
        "disk full": file_faults.full_disk(path),
        "foreign lock": file_faults.foreign_lock(path),
        "copied file": file_faults.copied(path),
        "removed log": file_faults.removed_log(path),
    }
    copy = partial(file_faults.copy_of, path)
    open_store = partial(on_clock, clock, SQLiteBackend, str(path))
    yield Arena(open_store, {**_OF_CLIENTS, **more}, disturb=copy)


def in_loops(
    arena: Callable[[Path], AbstractContextManager[Arena]],
) -> Callable[[Path], AbstractContextManager[Arena]]:
    """Return the same with two event loops of each process on one store, of which one ends and begins anew."""

    @contextmanager
    def with_loops(folder: Path) -> Iterator[Arena]:
        with arena(folder) as whole:
            yield replace(whole, loops=2, tasks=max(whole.tasks, 4), pause=0.016)

    return with_loops


def _redis_faults(server: RedisServer, proxy: Proxy) -> dict[str, Fault]:
    return {
        "crash": faults.crash(server),
        "restart": faults.shut_down(server.stop, server),
        "freeze": faults.freeze(server),
        "connections killed": faults.cut_by(lambda: [server]),
        "disk full": faults.full_server_disk(server, partial(end_of_log, server)),
        "memory full": faults.full_memory(server),
        **faults.links(proxy),
        **beside_redis(server, proxy),
    }


def _postgres_faults(server: PostgresServer, proxy: Proxy) -> dict[str, Fault]:
    return {
        "crash": faults.crash(server),
        "immediate shutdown": faults.shut_down(server.shut_down_immediately, server),
        "restart": faults.shut_down(server.stop, server),
        "freeze": faults.freeze(server),
        "disk full": faults.full_server_disk(server, partial(faults.end_of_wal, server)),
        **faults.links(proxy),
        **beside_postgres(server, proxy),
    }


@contextmanager
def redis(folder: Path) -> Iterator[Arena]:
    """One server that keeps what it acknowledged, behind a proxy."""
    with RedisServer(folder / "redis", config=DURABLE_REDIS) as server, Proxy(server.port) as proxy:
        url = f"redis://127.0.0.1:{proxy.port}/0"
        yield Arena(partial(RedisBackend, url), {**_OF_CLIENTS, **_redis_faults(server, proxy)})


@contextmanager
def postgres(folder: Path) -> Iterator[Arena]:
    """One server that keeps what it acknowledged, behind a proxy."""
    with PostgresServer(config=DURABLE_POSTGRES) as server, Proxy(server.port) as proxy:
        yield Arena(
            partial(PostgresBackend, _through(server, proxy), 1, 4),
            {**_OF_CLIENTS, **_postgres_faults(server, proxy)},
        )


def _through(server: PostgresServer, proxy: Proxy) -> str:
    return server.url().replace(f":{server.port}/", f":{proxy.port}/")


def open_hybrid(postgres_url: str, redis_url: str, **settings: Any) -> StorageBackend:
    """Return a hybrid backend, whose sides both take the settings."""
    return HybridBackend(PostgresBackend(postgres_url, 1, 4, **settings), RedisBackend(redis_url, **settings))


@contextmanager
def hybrid(folder: Path) -> Iterator[Arena]:
    """PostgreSQL and Redis, each behind a proxy; half of the keys live on either side."""
    with ExitStack() as stack:
        database = stack.enter_context(PostgresServer(config=DURABLE_POSTGRES))
        server = stack.enter_context(RedisServer(folder / "redis", config=DURABLE_REDIS))
        to_database, to_redis = (stack.enter_context(Proxy(one.port)) for one in (database, server))
        sides = (
            ("postgres", _postgres_faults(database, to_database)),
            ("redis", _redis_faults(server, to_redis)),
        )
        yield Arena(
            partial(open_hybrid, _through(database, to_database), f"redis://127.0.0.1:{to_redis.port}/0"),
            {**_OF_CLIENTS, **{f"{side}: {name}": fault for side, some in sides for name, fault in some.items()}},
            sides=("deal:", "session:"),
            batches=False,
        )


@contextmanager
def cluster(folder: Path) -> Iterator[Arena]:
    """Three masters with a replica each; a write counts when the replica has confirmed it."""
    with RedisCluster(folder / "cluster", node_timeout=1000) as group:
        open_store = partial(RedisBackend, group.url, wait_replicas=1)
        broken = group_faults.of_a_cluster(group)
        kill, begin = partial(group.kill_master, "{s}"), partial(group_faults.take_over, group)
        broken["split batch"] = beside.split_batch(open_store, kill, begin)
        yield Arena(
            open_store,
            {**_OF_CLIENTS, "connections killed": faults.cut_by(group.masters), **broken},
            mend=group.heal,
            seconds=5.0,
            pause=0.05,
            batches=False,
            undone=frozenset(broken) - {"slot moved"},
        )


@contextmanager
def sentinel(folder: Path) -> Iterator[Arena]:
    """A master with two replicas and three sentinels; a write counts when a replica has confirmed it."""
    with SentinelGroup(folder / "sentinel") as group:
        open_store = partial(RedisBackend, group.url, wait_replicas=1)
        broken = {
            "master killed": group_faults.kill_master(group),
            "split batch": beside.split_batch(open_store, group.kill_master, group.wait_until_ok),
        }
        yield _sentinel(group, broken, wait_replicas=1)


@contextmanager
def sentinel_both(folder: Path) -> Iterator[Arena]:
    """The same, whose old master lives on after another took over; a write counts when both replicas confirm it.

    One would not do: the replica that is not chosen goes on confirming what the old master takes, until it is told.
    """
    with SentinelGroup(folder / "sentinel") as group:
        broken = {
            "master frozen": group_faults.freeze_master(group),
            "master thawed": group_faults.thaw_master(group),
            "orderly fail-over": group_faults.orderly_fail_over(group),
        }
        yield _sentinel(group, broken, wait_replicas=2)


def _sentinel(group: SentinelGroup, broken: dict[str, Fault], wait_replicas: int) -> Arena:
    return Arena(
        partial(RedisBackend, group.url, wait_replicas=wait_replicas),
        {**_OF_CLIENTS, "connections killed": faults.cut_by(lambda: [group.master()]), **broken},
        mend=group.heal,
        seconds=6.0,
        pause=0.05,
        undone=frozenset(broken),
    )


ARENAS: dict[str, Callable[[Path], AbstractContextManager[Arena]]] = {
    "memory": memory,
    "sqlite": sqlite,
    "redis": redis,
    "postgres": postgres,
    "hybrid": hybrid,
    "cluster": cluster,
    "sentinel": sentinel,
    "sentinel-both": sentinel_both,
    "memory-loops": in_loops(memory),
    "sqlite-loops": in_loops(sqlite),
    "redis-loops": in_loops(redis),
    "postgres-loops": in_loops(postgres),
}

#: Those of several servers, whose fail-overs take seconds.
GROUPS = ("cluster", "sentinel", "sentinel-both")
