"""The goals of issues 5 and 14, as data, and what a run says about each."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from .contenders import BY_NAME, of_engine
from .results import Results
from .stats import Spread
from .workloads import BY_NAME as WORKLOADS

BEST_PEER = "best peer"  #: of those whose writes are as durable, whichever is fastest in this workload


@dataclass(frozen=True)
class Goal:
    """One number to reach.

    Attributes:
        workload: The name of the workload.
        against: The contender that we are compared with, `BEST_PEER`, "stall" or "failures".
        bound: The ratio to reach; for a stall the milliseconds and for failures the number not to exceed.
    """

    workload: str
    against: str
    bound: float

    @property
    def is_ratio(self) -> bool:
        return self.against not in ("stall", "failures")


def _goals(table: str) -> tuple[Goal, ...]:
    """A line is a workload and what it shall reach against whom."""
    found = []
    for line in table.strip().splitlines():
        workload, *parts = line.split()
        for part in parts:
            against, _, bound = part.partition("=")
            found.append(Goal(workload, against.replace("_", " "), float(bound)))
    return tuple(found)


GOALS = {
    "sqlite": _goals("""
        get-1-s        pkv-disk=3.5    sqlite3=0.80  stall=3
        get-64-s       langgraph=3.2   sqlite3=1.1   stall=2.5
        get-512-s      langgraph=2.5   sqlite3=1.25  stall=2.5
        get-64-l       langgraph=1.3   sqlite3=0.9
        set-1-s        aiosqlite=1.4   sqlite3=0.78
        set-64-s       best_peer=2.8   sqlite3=0.92
        set-512-s      best_peer=3     sqlite3=0.88
        mixed-64-s     best_peer=2.1   sqlite3=0.70
        keys-100000    aiosqlite=3.4   sqlite3=1.4
        list-100000    aiosqlite=1.3   sqlite3=0.75  stall=4
        two-processes  aiosqlite=1.3   failures=0
        cold-start     aiosqlite=1
        set-1-quotes   aiosqlite=1.15
        set-64-quotes  langgraph=2.7   sqlite3=0.70
        set-512-quotes langgraph=2.2   sqlite3=0.65
        mixed-64-quotes sqlite3=0.65
        get-64-quotes  sqlite3=0.62
        get-512-quotes sqlite3=0.62
    """),
    "redis": _goals("""
        get-1-s        glide=1.5   socket=0.45
        set-1-s        glide=1.5   socket=0.45
        get-64-s       glide=4.5   socket=0.55
        get-512-s      glide=4.5   socket=0.5   failures=0
        set-64-s       glide=3     socket=0.45
        set-512-s      glide=4     socket=0.55  failures=0
        keys-100000    glide=12    socket=12
        list-100000    glide=3     socket=1.7
    """),
    "postgres": _goals("""
        get-1-s        pkv-postgres=3    asyncpg=0.95
        set-1-s        pkv-postgres=1.7  asyncpg=0.95
        get-64-s       pkv-postgres=12   pgbench=1.5
        get-512-s      pkv-postgres=12   pgbench=1.5
        set-64-s       pkv-postgres=11   pgbench=2.2
        set-512-s      pkv-postgres=11   pgbench=2.2
        keys-100000    asyncpg=0.75
        list-100000    asyncpg=0.75
    """),
}


@dataclass(frozen=True)
class Verdict:
    """What a run reached; None if the run has no such figure.

    ``by_cpu`` is the ratio of the computing time of the two processes, without the server's. ``met`` looks at the
    median of the rounds alone; ``sure`` tells whether every single round says the same.
    """

    goal: Goal
    against: str
    reached: Spread | None
    by_cpu: float | None = None

    @property
    def met(self) -> bool | None:
        return None if self.reached is None else self._meets(self.reached.median)

    @property
    def sure(self) -> bool:
        return self.reached is not None and self._meets(self.reached.low) == self._meets(self.reached.high)

    def _meets(self, number: float) -> bool:
        return number >= self.goal.bound if self.goal.is_ratio else number <= self.goal.bound


def ours(engine: str) -> str:
    """The contender whose goals these are."""
    return next(entry.name for entry in of_engine(engine) if entry.role == "ours")


def verdicts(results: Results) -> Iterator[Verdict]:
    me = ours(results.engine)
    for goal in GOALS.get(results.engine, ()):
        match goal.against:
            case "stall":
                yield Verdict(goal, "stall", results.spread(goal.workload, me, "stall"))
            case "failures":
                failed = float(results.total(goal.workload, me, "failed"))
                ran = goal.workload in results.bursts
                yield Verdict(goal, "failures", Spread(failed, failed, failed) if ran else None)
            case _:
                against = best_peer(results, goal.workload) if goal.against == BEST_PEER else goal.against
                ratio = results.ratio(goal.workload, me, against) if against else None
                by_cpu = results.cpu_ratio(goal.workload, me, against) if against else None
                yield Verdict(goal, against or goal.against, ratio, by_cpu)


def best_peer(results: Results, workload: str) -> str | None:
    """The fastest of the other stores, and where it is about writes of those that are as durable as ours."""
    writes = WORKLOADS[workload].writes
    peers = {
        name: results.spread(workload, name, "rate")
        for name in results.bursts.get(workload, {})
        if BY_NAME[name].role == "peer" and (BY_NAME[name].durable or not writes)
    }
    found = {name: spread.median for name, spread in peers.items() if spread is not None}
    return max(found, key=lambda name: found[name]) if found else None
