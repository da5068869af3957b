"""What an instance of a backend has counted, and how it stands at this moment."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from urllib.parse import urlsplit

from msgspec import Struct, field, to_builtins
from msgspec.structs import replace


class Target(Struct, frozen=True):
    """Where calls go, as telemetry tells it: what the conventions of OpenTelemetry call the database.

    Attributes:
        system: ``db.system.name``.
        address: ``server.address``; None where there is no server.
        port: ``server.port``, where it is not the usual one.
        namespace: ``db.namespace``: the database on the server.
    """

    system: str
    address: str | None = None
    port: int | None = None
    namespace: str | None = None

    @classmethod
    def of_url(cls, system: str, url: str, usual_port: int) -> Target:
        """Return what a URL says; of several hosts the first, and nothing of the login."""
        parts = urlsplit(url)
        first = parts.netloc.rpartition("@")[2].split(",")[0]
        host, _, port = first.rpartition(":") if first.rpartition(":")[2].isdecimal() else (first, "", "")
        number = int(port) if port else usual_port
        address = host.strip("[]") or None
        return cls(
            system, address, number if address and number != usual_port else None, parts.path.strip("/") or None
        )


class BatchStats(Struct, frozen=True):
    """Calls of one direction, and the bulk calls that carried them.

    Attributes:
        calls: how many came, those included that were answered at once, without a bulk call.
        batches: bulk calls to the engine.
        entries: what these carried: keys of reads, commits of writes.
        largest: entries of the largest bulk call.
        waiting: calls that have no answer at this moment.
    """

    calls: int = 0
    batches: int = 0
    entries: int = 0
    largest: int = 0
    waiting: int = 0

    @property
    def mean(self) -> float:
        """Entries of a bulk call on average; 0 if there was none."""
        return self.entries / self.batches if self.batches else 0.0

    def __add__(self, other: BatchStats) -> BatchStats:
        """Return both together."""
        return BatchStats(
            self.calls + other.calls,
            self.batches + other.batches,
            self.entries + other.entries,
            max(self.largest, other.largest),
            self.waiting + other.waiting,
        )


class PoolStats(Struct, frozen=True):
    """Connections to a server, at this moment.

    Attributes:
        open: how many there are.
        idle: those of them that nobody uses.
        most: how many there may be.
        waiting: calls that wait for one.
    """

    open: int = 0
    idle: int = 0
    most: int = 0
    waiting: int = 0

    def __add__(self, other: PoolStats) -> PoolStats:
        """Return both together."""
        return PoolStats(
            self.open + other.open, self.idle + other.idle, self.most + other.most, self.waiting + other.waiting
        )


class Stats(Struct, frozen=True):
    """What one instance has counted since it was made, in all its event loops, and how it stands now.

    None stands where a backend has no such thing. Nobody is asked: `StorageBackend.health` asks the store.

    Attributes:
        backend: the class of the backend.
        loops: event loops in which it is open.
        pool: its connections.
        reads: of entries by key.
        writes: commits.
        listings: listings and other calls beside the batches that are under way.
        conflicts: how often something was not written because others had changed it meanwhile.
        retries: how often something was run or sent again: after a conflict, or because it had not begun.
        expired: expired entries that it has reclaimed.
        index_trusted: whether listings on Redis are answered from the index at this moment; None before the first.
        follower_lag: seconds since the making of the oldest entry that a follower of a log is at while it has
            more to give; 0 if all have given everything, None if nobody follows.
        sides: the same of each side of a hybrid; its own numbers are the sums.
    """

    backend: str = ""
    loops: int | None = None
    pool: PoolStats | None = None
    reads: BatchStats | None = None
    writes: BatchStats | None = None
    listings: int | None = None
    conflicts: int = 0
    retries: int = 0
    expired: int | None = None
    index_trusted: bool | None = None
    follower_lag: float | None = None
    sides: Mapping[str, Stats] = field(default_factory=dict)

    def __add__(self, other: Stats) -> Stats:
        """Return both together, under the name of this one."""
        return Stats(
            self.backend,
            _sum(self.loops, other.loops),
            _sum(self.pool, other.pool),
            _sum(self.reads, other.reads),
            _sum(self.writes, other.writes),
            _sum(self.listings, other.listings),
            self.conflicts + other.conflicts,
            self.retries + other.retries,
            _sum(self.expired, other.expired),
            _all(self.index_trusted, other.index_trusted),
            _greatest(self.follower_lag, other.follower_lag),
            {**self.sides, **other.sides},
        )

    @property
    def counted(self) -> Stats:
        """What only grows, without what is so at this moment: what stays of an event loop that has ended."""
        return Stats(
            reads=self.reads and replace(self.reads, waiting=0),
            writes=self.writes and replace(self.writes, waiting=0),
            conflicts=self.conflicts,
            retries=self.retries,
            expired=self.expired,
        )

    def as_dict(self) -> dict[str, Any]:
        """Return it as JSON can carry it."""
        as_dict: dict[str, Any] = to_builtins(self)
        return as_dict


def _sum(one: Any, two: Any) -> Any:
    return two if one is None else one if two is None else one + two


def _all(one: bool | None, two: bool | None) -> bool | None:
    return two if one is None else one if two is None else one and two


def _greatest(one: float | None, two: float | None) -> float | None:
    return two if one is None else one if two is None else max(one, two)
