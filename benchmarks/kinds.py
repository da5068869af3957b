"""The calls of each kind of workload, made before the clock runs, and how their answers are judged."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

from .contender import Contender, added, chunks
from .data import (
    COUNTERS,
    DAY,
    DAY_IDS,
    MATCHES,
    ORDER_PREFIX,
    ORDERS,
    WANTED,
    WORK,
    Value,
    counter_key,
    filler_key,
    order_key,
    record,
    record_key,
    value,
    work_key,
)
from .recording import recorded
from .workloads import Workload

_TTL = 86_400  #: seconds; nothing expires during a run
_DELETED = 1_024  #: entries that one burst of deletes has
_PAGE = 100
_RECORDS = 512  #: that one burst of new ones has, and one of changes works on

Judge = Callable[[Any], bool]


class Call(NamedTuple):
    """One call of an operation; ``right`` tells whether its answer is right."""

    method: str
    arguments: tuple[Any, ...]
    right: Judge


def anything(_: Any) -> bool:
    return True


class Script:
    """The calls of a burst, for a contender and its store.

    Attributes:
        endless: Whether a task begins again when it has made all of its calls.
        reached: What was written last under each key, as far as it was acknowledged.
    """

    def __init__(self, contender: Contender, workload: Workload, entries: int) -> None:
        self.contender = contender
        self.workload = workload
        self.entries = entries
        self.endless = workload.kind not in ("delete", "replay", "new")
        self.reached: dict[str, Value] = {}
        self._random = random.Random(f"{workload.name} {random.random()}")
        self._updates = 0
        self._before = 0

    # --- before the clock runs -------------------------------------------------------------------------

    async def prepare(self) -> list[list[Call]]:
        """Bring the store into the state that the workload starts from, and return the calls of each task."""
        kind = self.workload.kind
        if kind == "delete":
            for chunk in chunks(range(_DELETED), 64):
                await self._set_all({key: value(key, "s") for key in map(_deleted_key, chunk)})
        elif kind in ("changed", "day"):
            for chunk in chunks(self._made(), 64):
                await self._set_all({key: record(key, 0) for key in chunk})
        elif kind in ("update", "move"):
            self._before = await self._sum()
        elif kind == "replay":
            for key in sorted({call.key for call in recorded()} - {""}):
                await self.contender.delete(key)
        return [list(self._calls(task)) for task in range(self.workload.tasks)]

    async def _set_all(self, rows: dict[str, Value]) -> None:
        await asyncio.gather(*(self.contender.set(key, row) for key, row in rows.items()))

    def _calls(self, task: int) -> Iterator[Call]:
        make = getattr(self, f"_{self.workload.kind.replace('-any', '')}")
        if not self.endless:
            yield from make(task)
        elif self.workload.needs in (("keys",), ("entries",), ("page",), ("find",)):
            yield make(task)
        else:
            for _ in range(max(8, 8_192 // self.workload.tasks)):
                yield make(task)

    def _any_key(self) -> str:
        """A key of the workload's size; where the store grows, of all of that size."""
        size = self.workload.size
        fillers = max(self.entries - ORDERS, 0) if self.workload.kind.endswith("-any") else 0
        i = self._random.randrange(WORK[size] + fillers)
        return work_key(size, i) if i < WORK[size] else filler_key(i - WORK[size])

    def _own_key(self, task: int) -> str:
        """A key that no other task writes, so that it is known what was written last."""
        count, tasks = WORK[self.workload.size], self.workload.tasks
        return work_key(self.workload.size, task + tasks * self._random.randrange(max(1, count // tasks)))

    def _get(self, task: int) -> Call:
        key = self._any_key()
        return Call("get", (key,), lambda answer: answer is not None and answer["id"] == key)

    def _set(self, task: int, *ttl: int) -> Call:
        key = self._any_key() if self.workload.kind.endswith("-any") else self._own_key(task)
        row = value(key, self.workload.size, self._random.randrange(1_000_000, 9_999_999))
        return self._noted(key, row, *ttl)

    def _made(self) -> list[str]:
        """The records that the workload makes or works on, and that are removed when it is over."""
        match self.workload.kind:
            case "new" | "changed":
                return [record_key(self.workload.prefix, i) for i in range(_RECORDS)]
            case "day":
                return [record_key(prefix, i) for prefix, *_ in DAY for i in range(DAY_IDS)]
        return []

    def _new(self, task: int) -> Iterator[Call]:
        for i in range(task, _RECORDS, self.workload.tasks):
            key = record_key(self.workload.prefix, i)
            yield self._noted(key, record(key, i))

    def _changed(self, task: int) -> Call:
        tasks = self.workload.tasks
        key = record_key(self.workload.prefix, task + tasks * self._random.randrange(_RECORDS // tasks))
        return self._noted(key, record(key, self._random.randrange(1_000_000)))

    def _noted(self, key: str, row: Value, *ttl: int) -> Call:
        def note(_: Any) -> bool:
            self.reached[key] = row
            return True

        return Call("set", (key, row, *ttl), note)

    def _day(self, task: int) -> Call:
        [(prefix, gets, sets, size)] = self._random.choices(DAY, [gets + sets for _, gets, sets, _ in DAY])
        key = record_key(prefix, self._random.randrange(DAY_IDS))
        if self._random.random() * (gets + sets) < gets:
            return Call("get", (key,), lambda answer: answer is not None and answer["id"] == key)
        return Call("set", (key, value(key, size, self._random.randrange(1_000_000, 9_999_999))), anything)

    def _ttl(self, task: int) -> Call:
        return self._set(task, _TTL)

    def _mixed(self, task: int) -> Call:
        return self._get(task) if self._random.random() < 0.8 else self._set(task)

    def _half(self, task: int) -> Call:
        return self._get(task) if self._random.random() < 0.5 else self._set(task)

    def _delete(self, task: int) -> Iterator[Call]:
        for i in range(task, _DELETED, self.workload.tasks):
            yield Call("delete", (_deleted_key(i),), lambda answer: answer is True)

    def _keys(self, task: int) -> Call:
        return Call("keys", (ORDER_PREFIX,), lambda answer: answer == _ORDERS)

    def _entries(self, task: int) -> Call:
        return Call("entries", (ORDER_PREFIX,), _are_orders)

    def _walk(self, task: int) -> Call:
        return Call("walk", (ORDER_PREFIX, _PAGE), lambda answer: answer == _ORDERS)

    def _page(self, task: int) -> Call:
        return Call("page", (ORDER_PREFIX, None, _PAGE), lambda answer: answer[0] == _ORDERS[:_PAGE])

    def _find(self, task: int) -> Call:
        def right(answer: Any) -> bool:
            return len(answer) == MATCHES and all(row["status"] == WANTED for row in answer)

        return Call("find", (ORDER_PREFIX, WANTED), right)

    def _update(self, task: int) -> Call:
        return Call("update", (counter_key(self._random.randrange(COUNTERS)), added(1)), self._count)

    def _move(self, task: int) -> Call:
        source, target = self._random.sample(range(COUNTERS), 2)
        return Call("move", (counter_key(source), counter_key(target)), anything)

    def _count(self, _: Any) -> bool:
        self._updates += 1
        return True

    def _replay(self, task: int) -> Iterator[Call]:
        return (Call(call.method, call.arguments, call.right) for call in recorded())

    # --- after the clock has stopped -------------------------------------------------------------------

    async def wrong(self, failed: int) -> int:
        """Look into the store, and return how many things are not as they were written; what was made goes."""
        count = await self._count_wrong(failed)
        for chunk in chunks(self._made(), 64):
            await asyncio.gather(*(self.contender.delete(key) for key in chunk))
        return count

    async def _count_wrong(self, failed: int) -> int:
        match self.workload.kind:
            case "update" if not failed:
                return abs(await self._sum() - self._before - self._updates)
            case "move":
                return abs(await self._sum() - self._before)
            case "delete":
                keys = [_deleted_key(i) for i in range(0, _DELETED, 97)]
                return 0 if failed else sum([await self.contender.get(key) is not None for key in keys])
            case "get" | "get-any":
                calls = [self._get(0) for _ in range(16)]
                return sum([not self._is_whole(await self.contender.get(*call.arguments)) for call in calls])
            case "set" | "mixed" | "ttl" | "new" | "changed" if not failed:
                keys = self._random.sample(sorted(self.reached), min(32, len(self.reached)))
                return sum([await self.contender.get(key) != self.reached[key] for key in keys])
        return 0

    def _is_whole(self, found: Value | None) -> bool:
        return found is not None and found == value(found["id"], self.workload.size, found["rev"])

    async def _sum(self) -> int:
        rows = [await self.contender.get(counter_key(i)) for i in range(COUNTERS)]
        return sum(row["n"] for row in rows if row is not None)


_ORDERS = [order_key(i) for i in range(ORDERS)]


def _are_orders(answer: Any) -> bool:
    one = answer[random.randrange(len(answer))]
    return [row["id"] for row in answer] == _ORDERS and one == value(one["id"], "m", one["rev"])


def _deleted_key(i: int) -> str:
    return f"deleted:{i:07}"
