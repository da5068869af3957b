"""What `stats()` tells, as metrics: looked at when they are exported, so that nothing is paid in between."""

from __future__ import annotations

import weakref
from collections.abc import Callable, Iterator
from typing import Any, Final

from ..atomic.state import counted
from ..base import StorageBackend
from ..concurrency.forks import fork_safe_lock
from ..stats import Stats
from .calls import target_attributes
from .library import Instruments, Observed

_POOL: Final = "db.client.connection.pool.name"
_STATE: Final = "db.client.connection.state"
_DIRECTION: Final = "ad_seller.storage.direction"

#: Numbers with what they belong to besides the backend.
Numbers = Iterator[tuple[float | None, dict[str, str]]]
Look = Callable[[Stats], Numbers]


def _connections(stats: Stats) -> Numbers:
    if (pool := stats.pool) is not None:
        yield pool.idle, {_STATE: "idle"}
        yield pool.open - pool.idle, {_STATE: "used"}


def _directions(name: str) -> Look:
    def look(stats: Stats) -> Numbers:
        for direction, batches in (("read", stats.reads), ("write", stats.writes)):
            if batches is not None:
                yield getattr(batches, name), {_DIRECTION: direction}

    return look


def _number(name: str) -> Look:
    return lambda stats: iter([(getattr(stats, name), {})])


def _of_pool(name: str) -> Look:
    return lambda stats: iter([(getattr(stats.pool, name, None), {})])


#: Kind of instrument, name, unit, meaning, and how it is read. The first three are the conventions' own
#: (https://opentelemetry.io/docs/specs/semconv/db/database-metrics/#connection-pools, not stable yet).
METRICS: Final[tuple[tuple[str, str, str, str, Look], ...]] = (
    ("updowncounter", "db.client.connection.count", "{connection}", "Connections by state.", _connections),
    ("updowncounter", "db.client.connection.max", "{connection}", "Connections at most.", _of_pool("most")),
    (
        "updowncounter",
        "db.client.connection.pending_requests",
        "{request}",
        "Calls that wait for a connection.",
        _of_pool("waiting"),
    ),
    ("updowncounter", "ad_seller.storage.waiting", "{call}", "Calls without an answer.", _directions("waiting")),
    ("counter", "ad_seller.storage.batches", "{batch}", "Bulk calls to the engine.", _directions("batches")),
    ("counter", "ad_seller.storage.batch.entries", "{entry}", "What they carried.", _directions("entries")),
    (
        "counter",
        "ad_seller.storage.conflicts",
        "{conflict}",
        "Others were faster.",
        _number("conflicts"),
    ),
    ("counter", "ad_seller.storage.retries", "{retry}", "What was run or sent again.", _number("retries")),
    ("counter", "ad_seller.storage.expired", "{entry}", "Expired entries reclaimed.", _number("expired")),
    ("gauge", "ad_seller.storage.index.trusted", "", "Listings come from the index.", _number("index_trusted")),
    ("gauge", "ad_seller.storage.follower.lag", "s", "The slowest follower of a log.", _number("follower_lag")),
)


class Watched:
    """The backends that have been called; one that is garbage is forgotten."""

    def __init__(self) -> None:
        """Know none."""
        self._backends: weakref.WeakValueDictionary[int, StorageBackend] = weakref.WeakValueDictionary()
        self._lock = fork_safe_lock()

    def add(self, backend: StorageBackend) -> None:
        """Take note of a backend."""
        with self._lock:
            self._backends[id(backend)] = backend

    def register(self, instruments: Instruments) -> None:
        """Have all metrics looked at when they are exported."""
        for kind, name, unit, meaning, look in METRICS:
            instruments.observe(kind, name, unit, meaning, self._looking(look, of_pool=".connection." in name))

    def _looking(self, look: Look, *, of_pool: bool) -> Callable[[], Observed]:
        def observed() -> Observed:
            sums: dict[tuple[tuple[str, Any], ...], float] = {}
            for stats, part in self._stats():
                attributes = _attributes(part, of_pool=of_pool)
                for number, more in look(stats):
                    if number is not None:
                        belongs = tuple({**attributes, **more}.items())
                        sums[belongs] = sums.get(belongs, 0) + number
            return [(number, dict(belongs)) for belongs, number in sums.items()]

        return observed

    def _stats(self) -> Iterator[tuple[Stats, StorageBackend]]:
        """Yield what each backend has counted by itself; the sides of a hybrid each, and once."""
        with self._lock:
            backends = list(self._backends.values())
        parts = {id(part): part for backend in backends for part in backend._atomic_parts()}
        for part in parts.values():
            if isinstance(part, StorageBackend):
                alone = len(part._atomic_parts()) == 1
                yield part.stats() if alone else counted(part), part


def _attributes(part: StorageBackend, *, of_pool: bool) -> dict[str, Any]:
    told = target_attributes(part, None)
    if not of_pool:
        return told
    server = [str(told[name]) for name in ("server.address", "server.port", "db.namespace") if name in told]
    return {**told, _POOL: ":".join(server) or told["db.system.name"]}
