"""Whether something fell: quick ratios against a stored table with generous bounds."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

from .goals import ours
from .results import Results
from .workloads import BY_NAME as WORKLOADS

TABLE = Path(__file__).with_name("guard.json")

#: What is looked at, and against whom: an own figure in the same round, so that the machine's speed does not count.
WATCHED = {
    "sqlite": {
        "get-1-s": "sqlite3",
        "get-64-s": "sqlite3",
        "get-512-s": "sqlite3",
        "set-64-s": "sqlite3",
        "update-64": "sqlite3",
        "keys-1000": "sqlite3",
        "list-1000": "sqlite3",
    },
    "redis": {
        "get-1-s": "socket",
        "get-64-s": "socket",
        "set-64-s": "socket",
        "set-512-s": "socket",
        "update-64": "redis-py",
        "keys-100000": "socket",
        "list-100000": "socket",
    },
    "postgres": {
        "get-1-s": "asyncpg",
        "get-64-s": "asyncpg",
        "set-64-s": "asyncpg",
        "update-64": "asyncpg",
        "keys-1000": "asyncpg",
        "list-1000": "asyncpg",
    },
}

#: Of the ratio that was stored; above it may be noise. A lone caller's wanders by a factor of two, because
#: it waits for a socket or a thread.
_SHARE, _SHARE_ALONE = 0.5, 0.35


def bound(workload: str, stored: float) -> float:
    """The ratio below which it is called a fall."""
    alone = WORKLOADS[workload].kind in ("get", "set") and WORKLOADS[workload].tasks == 1
    return stored * (_SHARE_ALONE if alone else _SHARE)


@dataclass(frozen=True)
class Fall:
    """A ratio that came out below its bound."""

    engine: str
    workload: str
    base: str
    stored: float
    found: float | None

    def __str__(self) -> str:
        found = "no figure" if self.found is None else f"{self.found:.2f}"
        return (
            f"{self.engine}, {self.workload}: {found} of {self.base}, was {self.stored:.2f}, "
            f"the bound is {bound(self.workload, self.stored):.2f}"
        )


Table = dict[str, dict[str, float]]


def measured(results: list[Results]) -> Table:
    """Our ratio in each watched workload, the median of the rounds; none if anything failed or was wrong."""
    table: Table = {}
    for found in results:
        me = ours(found.engine)
        for workload, base in WATCHED[found.engine].items():
            ratio = found.ratio(workload, me, base)
            if ratio is not None and not found.total(workload, me, "failed") + found.total(workload, me, "wrong"):
                table.setdefault(found.engine, {})[workload] = round(ratio.median, 3)
    return table


def falls(stored: Table, now: Table, engines: list[str]) -> list[Fall]:
    """What is in the stored table and has fallen below its bound, or is missing."""
    return [
        Fall(engine, workload, WATCHED[engine][workload], ratio, now.get(engine, {}).get(workload))
        for engine in engines
        for workload, ratio in stored.get(engine, {}).items()
        if now.get(engine, {}).get(workload, 0.0) < bound(workload, ratio)
    ]


def load() -> Table:
    table: Table = json.loads(TABLE.read_text()) if TABLE.exists() else {}
    return table


def save(table: Table) -> None:
    TABLE.write_text(json.dumps({**load(), **table}, indent=2, sort_keys=True) + "\n")
