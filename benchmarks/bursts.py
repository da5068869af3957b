"""One burst of calls in a contender's process: a closed loop of tasks, or of batches."""

from __future__ import annotations

import asyncio
import gc
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass, field
from time import perf_counter, perf_counter_ns, process_time
from typing import Any

from .contender import Arguments, Contender
from .kinds import Call, Judge, Script
from .results import Burst
from .stats import percentile
from .workloads import Workload

_TICK = 0.001

#: Calls with the contender's method found already: of one operation, and of those of all tasks at once.
_Bound = tuple[Callable[..., Awaitable[Any]], Arguments, Judge]
_Batch = tuple[Callable[[list[Arguments]], list[Any]], list[Arguments], list[Judge]]


@dataclass
class Tally:
    """What the tasks of a burst count together; latencies in nanoseconds."""

    latencies: list[int] = field(default_factory=list)
    failed: int = 0
    wrong: int = 0
    error: str | None = None

    def note(self, error: Exception) -> None:
        self.failed += 1
        self.error = self.error or f"{type(error).__name__}: {error}"[:300]


async def run(
    contender: Contender, workload: Workload, entries: int, seconds: float, ticker: bool = False
) -> Burst:
    """Do the workload for so many seconds; with a ``ticker``, for the stall only: answers are not checked then."""
    external = getattr(contender, "burst", None)
    if external is not None:
        found: Burst = await external(workload, seconds)
        return found
    script = Script(contender, workload, entries)
    calls = await script.prepare() if workload.needs else []
    in_batches = contender.batched and all(hasattr(contender, f"{need}_batch") for need in workload.needs)
    batches = list(_batches(contender, calls)) if in_batches else []
    bound = [] if in_batches else [[(getattr(contender, call.method), *call[1:]) for call in own] for own in calls]
    if ticker:
        bound = [[(method, arguments, _unchecked) for method, arguments, _ in own] for own in bound]
    tally = Tally()
    # What the harness itself holds is not looked through by the garbage collector in the middle of a burst.
    gc.collect()
    gc.freeze()
    ticking = asyncio.create_task(_tick(perf_counter() + seconds)) if ticker else None
    await asyncio.sleep(0)
    began, cpu = perf_counter(), process_time()
    deadline = perf_counter_ns() + int(seconds * 1e9)
    if batches:
        _in_batches(batches, deadline, tally, endless=script.endless)
    elif bound:
        await asyncio.gather(*(_task(own, deadline, tally, endless=script.endless) for own in bound))
    elif workload.tasks > 1:
        await asyncio.gather(*(_yield_on(deadline) for _ in range(workload.tasks)))
    else:
        await asyncio.sleep(seconds)
    elapsed = perf_counter() - began
    cpu = process_time() - cpu
    stall = None if ticking is None else await ticking
    gc.unfreeze()
    wrong = tally.wrong + (await script.wrong(tally.failed) if workload.needs else 0)
    latencies = sorted(tally.latencies)
    return Burst(
        ops=len(latencies),
        seconds=elapsed,
        failed=tally.failed,
        wrong=wrong,
        p50=percentile(latencies, 0.5) / 1_000 if latencies else None,
        p99=percentile(latencies, 0.99) / 1_000 if latencies else None,
        stall=stall,
        cpu=cpu * 1e6 / len(latencies) if latencies else None,
        error=tally.error,
    )


async def _yield_on(deadline: int) -> None:
    while perf_counter_ns() < deadline:  # noqa: ASYNC110 - it is about the turns of the event loop
        await asyncio.sleep(0)


def _unchecked(_answer: Any) -> bool:
    """Take any answer: to check a list of 1,000 takes milliseconds, which would be taken for the store's."""
    return True


async def _task(calls: list[_Bound], deadline: int, tally: Tally, *, endless: bool) -> None:
    """Make the calls one after the other until the time is up, or all are made."""
    clock, done = perf_counter_ns, tally.latencies.append
    while calls:
        for method, arguments, right in calls:
            start = clock()
            if endless and start >= deadline:
                return
            try:
                answer = await method(*arguments)
            except Exception as error:
                tally.note(error)
                await asyncio.sleep(0)
            else:
                done(clock() - start)
                if not right(answer):
                    tally.wrong += 1
        if not endless:
            return


def _in_batches(batches: list[_Batch], deadline: int, tally: Tally, *, endless: bool) -> None:
    """Make the calls of all tasks at once, again and again."""
    while True:
        for method, arguments, judges in batches:
            start = perf_counter_ns()
            answers = method(arguments)
            took = perf_counter_ns() - start
            tally.latencies += [took] * len(arguments)
            for right, answer in zip(judges, answers, strict=True):
                if not right(answer):
                    tally.wrong += 1
            if endless and perf_counter_ns() >= deadline:
                return
        if not endless:
            return


def _batches(contender: Contender, calls: list[list[Call]]) -> Iterator[_Batch]:
    """The tasks' first calls, those of one method together, then their second calls, and so on."""
    for position in range(max(map(len, calls))):
        by_method: dict[str, list[Call]] = {}
        for own in calls:
            if position < len(own):
                by_method.setdefault(own[position].method, []).append(own[position])
        for method, batch in by_method.items():
            judges = [call.right for call in batch]
            yield getattr(contender, f"{method}_batch"), [call.arguments for call in batch], judges


async def _tick(until: float) -> float:
    """The milliseconds by which the latest tick came late."""
    worst = 0.0
    before = perf_counter()
    while before < until:
        await asyncio.sleep(_TICK)
        now = perf_counter()
        worst = max(worst, now - before - _TICK)
        before = now
    return worst * 1_000
