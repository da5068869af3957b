"""One burst of calls in a contender's process: a closed loop of tasks, or of batches."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from time import perf_counter, perf_counter_ns, process_time
from typing import Any

from .contender import Arguments, Contender
from .kinds import Call, Judge, Script
from .results import Burst
from .stats import percentile
from .workloads import Workload

_TICK = 0.001


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
    """Do the workload for so many seconds; with a ``ticker``, for the stall only."""
    external = getattr(contender, "burst", None)
    if external is not None:
        found: Burst = await external(workload, seconds)
        return found
    script = Script(contender, workload, entries)
    calls = await script.prepare() if workload.needs else []
    tally = Tally()
    ticking = asyncio.create_task(_tick(perf_counter() + seconds)) if ticker else None
    await asyncio.sleep(0)
    began, cpu = perf_counter(), process_time()
    if not workload.needs:
        await asyncio.sleep(seconds)
    elif contender.batched and hasattr(contender, f"{workload.needs[0]}_batch"):
        _in_batches(contender, calls, seconds, tally, endless=script.endless)
    else:
        deadline = perf_counter_ns() + int(seconds * 1e9)
        await asyncio.gather(*(_task(contender, own, deadline, tally, script.endless) for own in calls))
    elapsed = perf_counter() - began
    cpu = process_time() - cpu
    stall = None if ticking is None else await ticking
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


async def _task(contender: Contender, calls: list[Call], deadline: int, tally: Tally, endless: bool) -> None:
    """Make the calls one after the other until the time is up, or all are made."""
    bound = [(getattr(contender, call.method), call.arguments, call.right) for call in calls]
    clock, done = perf_counter_ns, tally.latencies.append
    while bound:
        for method, arguments, right in bound:
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


def _in_batches(
    contender: Contender, calls: list[list[Call]], seconds: float, tally: Tally, *, endless: bool
) -> None:
    """Make the calls of all tasks at once, again and again."""
    batches = list(_batches(contender, calls))
    deadline = perf_counter() + seconds
    while True:
        for method, arguments, judges in batches:
            start = perf_counter_ns()
            answers = method(arguments)
            took = perf_counter_ns() - start
            tally.latencies += [took] * len(arguments)
            for right, answer in zip(judges, answers, strict=True):
                if not right(answer):
                    tally.wrong += 1
            if endless and perf_counter() >= deadline:
                return
        if not endless:
            return


def _batches(
    contender: Contender, calls: list[list[Call]]
) -> Iterator[tuple[Callable[[list[Arguments]], list[Any]], list[Arguments], list[Judge]]]:
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
