"""What is measured."""

from __future__ import annotations

from dataclasses import dataclass

from .data import FILTERED

#: Which stores there are: numbers of entries through which one store grows, an empty one, and one full of orders.
STAGES = (1_000, 10_000, 100_000, 1_000_000)
QUOTES_STAGE = 20_000  #: what the goals of issue 14 are set for
EMPTY_STAGE = -2
ORDERS_STAGE = -1


@dataclass(frozen=True)
class Workload:
    """One thing to do, over and over.

    Attributes:
        name: What results call it.
        title: What readers call it.
        kind: Which calls, see `kinds`.
        needs: Operations that a contender must offer.
        tasks: Tasks in a closed loop, each waiting for its answer.
        size: Of the values.
        prefix: Of the records, where it takes a certain kind.
        stage: Entries in the store.
        stall: Whether a ticker is measured, too.
        full: Only in the full run.
        rounds: At most so many rounds.
        processes: Processes of the contender that do it at once.
        group: The heading in the report.
    """

    name: str
    title: str
    kind: str
    needs: tuple[str, ...]
    tasks: int = 1
    size: str = "s"
    prefix: str = ""
    stage: int = 1_000
    stall: bool = False
    full: bool = False
    rounds: int = 100
    processes: int = 1
    group: str = "Single entries"

    @property
    def writes(self) -> bool:
        return any(need in ("set", "delete", "update", "move") for need in self.needs)

    @property
    def grows(self) -> bool:
        return "@" in self.name


_BYTES = {"s": "218 B", "m": "1.4 KB", "l": "20 KB"}
_CORE_POINTS = {(kind, tasks, "s") for kind in ("get", "set") for tasks in (1, 64, 512)} | {("get", 64, "l")}


def _points(kind: str) -> list[Workload]:
    return [
        Workload(
            f"{kind}-{tasks}-{size}",
            f"{kind}, {tasks} task{'s' * (tasks > 1)}, {_BYTES[size]}",
            kind,
            (kind,),
            tasks=tasks,
            size=size,
            stall=size == "s" or (tasks, size) == (64, "l"),
            full=(kind, tasks, size) not in _CORE_POINTS,
        )
        for size in ("s", "m", "l")
        for tasks in (1, 64, 512)
    ]


def _listings(stage: int) -> list[Workload]:
    among = f"1,000 among {stage:,}"
    common = {"stage": stage, "group": "Listings", "full": stage != 100_000}
    big = stage == 100_000
    return [
        Workload(f"keys-{stage}", f"keys of {among}", "keys", ("keys",), stall=big, **common),  # type: ignore[arg-type]
        Workload(f"list-{stage}", f"list {among}", "entries", ("entries",), stall=big, **common),  # type: ignore[arg-type]
        Workload(f"pages-{stage}", f"{among} in pages of 100", "walk", ("page",), **common),  # type: ignore[arg-type]
    ]


def _records() -> list[Workload]:
    """Records of which one kind costs more than another: orders have an index of their status."""
    return [
        Workload(
            f"{kind}-{prefix}s-{tasks}",
            f"{kind} {prefix}s, {tasks} tasks, 218 B",
            kind,
            ("set", "delete"),
            tasks=tasks,
            prefix=prefix,
            stage=10_000,
            full=tasks != 64,
            group="Records",
        )
        for prefix in ("quote", "order")
        for kind in ("new", "changed")
        for tasks in (1, 64, 512)
    ]


def _quotes() -> list[Workload]:
    """Any of many quotes: each call goes to another page of the file, as it does in a store that is used."""
    return [
        Workload(
            f"{kind}-{tasks}-quotes",
            f"{title}, {tasks} task{'s' * (tasks > 1)}, among {QUOTES_STAGE:,} quotes",
            f"{kind}-any",
            needs,
            tasks=tasks,
            stage=QUOTES_STAGE,
            full=True,
            group="Quotes",
        )
        for kind, title, needs, many in (
            ("get", "get", ("get",), (64, 512)),
            ("set", "set", ("set",), (1, 64, 512)),
            ("mixed", "80 % get, 20 % set", ("get", "set"), (64,)),
        )
        for tasks in many
    ]


def _growth(stage: int) -> list[Workload]:
    """What the growth plots show; get and set reach over all entries."""
    kinds = {"get": 64, "set": 64, "keys": 1, "entries": 1, "page": 1}
    return [
        Workload(f"{kind}@{stage}", kind, f"{kind}-any" if kind in ("get", "set") else kind, (kind,), tasks=tasks,
                 stage=stage, rounds=5, full=stage == 1_000_000, group="Growth")
        for kind, tasks in kinds.items()
    ]  # fmt: skip


IDLE = Workload("idle", "nothing but the ticker", "idle", (), stall=True, rounds=3)
#: The least that a ticker beside 512 tasks can show, whatever they call.
IDLE_TASKS = Workload(
    "idle-512", "512 tasks that call nothing and yield", "idle", (), tasks=512, stall=True, rounds=5
)
COLD = Workload("cold-start", "import, connect, first get", "cold", ("get",), group="Processes")

WORKLOADS = (
    IDLE,
    IDLE_TASKS,
    *_points("get"),
    *_points("set"),
    Workload("mixed-64-s", "80 % get, 20 % set, 64 tasks, 218 B", "mixed", ("get", "set"), tasks=64, stall=True),
    Workload("ttl-64-s", "set with TTL, 64 tasks, 218 B", "ttl", ("set",), tasks=64, full=True),
    Workload("delete-64", "delete, 64 tasks", "delete", ("set", "delete"), tasks=64),
    Workload("update-64", "update, 64 tasks, 512 keys", "update", ("update",), tasks=64, group="Atomic"),
    Workload("move-64", "two-key transaction, 64 tasks, 512 keys", "move", ("move",), tasks=64, group="Atomic"),
    Workload("two-processes", "two processes, 16 tasks each, half set, 218 B", "half", ("get", "set"), tasks=16,
             processes=2, group="Processes"),
    *_records(),
    *_quotes(),
    Workload("day-64", "reads and writes of a recorded day, 64 tasks", "day", ("get", "set", "delete"), tasks=64,
             stage=10_000, group="Records"),
    COLD,
    Workload("replay", "a seller's day, one caller, 9,000 operations", "replay", ("get", "set", "delete", "keys"),
             stage=EMPTY_STAGE, full=True, rounds=3, group="Processes"),
    *(workload for stage in (1_000, 100_000, 1_000_000) for workload in _listings(stage)),
    *(workload for stage in STAGES for workload in _growth(stage)),
    Workload("find-100", f"100 matches among {FILTERED:,} orders", "find", ("find",), stage=ORDERS_STAGE, full=True,
             rounds=5, group="Listings"),
)  # fmt: skip

BY_NAME = {workload.name: workload for workload in WORKLOADS}
