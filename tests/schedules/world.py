"""Scenarios under many schedules: run them, and say how to run the one that failed again."""

from __future__ import annotations

import asyncio
import gc
import logging
import os
import random
import time
from collections import defaultdict
from collections.abc import Awaitable, Callable, Iterable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from typing import Any, NamedTuple

import pytest

from ad_seller.storage.atomic import claims, effects, expiring, idempotency, lease, outcomes, state
from ad_seller.storage.concurrency import elapsed
from ad_seller.storage.concurrency import timeslice as pace
from ad_seller.storage.records.ids import TICKS_PER_SECOND, id_at
from ad_seller.storage.seller import outbox_entries, outbox_message, outbox_work
from tests.schedules.loop import ScheduleLoop

EPOCH = 1_700_000_000.0  #: seconds; the virtual time at which a scenario begins
SHOWN = 60  #: steps of a failed schedule that are printed
PAUSES = (0.0001, 0.001, 0.02)  #: seconds

#: `SCHEDULE_SEED=7` runs that schedule alone, `SCHEDULES=20` 20 times as many as the tests say; usually a third.
SEED = os.environ.get("SCHEDULE_SEED")
FACTOR = float(os.environ.get("SCHEDULES", "0.34"))


@dataclass
class Ran:
    """What the tests of a file have run.

    Attributes:
        schedules: how many.
        steps: of all of them.
        seconds: of computing time.
    """

    schedules: int = 0
    steps: int = 0
    seconds: float = 0.0


#: By file, for the report at the end.
RAN: defaultdict[str, Ran] = defaultdict(Ran)


class World:
    """What a scenario gets: the seed's chance, its clock, and pauses of any kind.

    Attributes:
        events: what a scenario notes; a failed one prints it.
        counts_awaits: whether a task is cancelled, or hangs, at an await that is chosen by its number.
    """

    def __init__(self, loop: ScheduleLoop) -> None:
        self.loop = loop
        self.chance = loop.chance
        self.events: list[object] = []
        self.counts_awaits = False
        self.draw = loop.chance.random

    def clock(self) -> float:
        """Return the seconds since the epoch, virtually."""
        return EPOCH + self.loop.time()

    def note(self, *event: object) -> None:
        """Remember what happened, for the report of a failure and for comparing runs."""
        self.events.append((round(self.loop.time(), 6), *event))

    async def pause(self, *, inside: bool = True) -> None:
        """Give control away never, several times, or for a time.

        Where nobody else would take it, time passes at once: the story is the same, and turns in which nothing can
        happen cost most of a schedule. Not ``inside`` of the task of a caller whose awaits are counted.
        """
        kind, loop = self.draw(), self.loop
        quick = not (inside and self.counts_awaits)
        if kind >= 0.6:
            seconds = PAUSES[int(self.draw() * len(PAUSES))]
            if not (quick and loop.passes(seconds)):
                await asyncio.sleep(seconds)
            return
        for _ in range(int(kind / 0.15)):
            if quick and loop.passes(0.0):
                return
            await asyncio.sleep(0)

    async def until(self, reached: Callable[[], object]) -> None:
        """Let others run until something is reached."""
        while not reached():  # noqa: ASYNC110 - nothing tells
            await asyncio.sleep(0)

    def cancel_some(self, tasks: Iterable[asyncio.Task[Any]], share: float) -> None:
        """Cancel a share of the tasks, at once or later."""
        for task in tasks:
            if self.chance.random() < share:
                self._cancel_later(task)

    def _cancel_later(self, task: asyncio.Task[Any]) -> None:
        timer = self.loop.call_later(self.chance.choice((0, 0, 0.0001, 0.001, 0.03)), task.cancel)
        task.add_done_callback(lambda _: timer.cancel())

    async def gather(self, *jobs: Awaitable[object]) -> list[object]:
        """Run the jobs as tasks to their end; fail with the first exception that is no cancellation."""
        results = await asyncio.gather(*jobs, return_exceptions=True)
        for result in results:
            if isinstance(result, BaseException) and not isinstance(result, asyncio.CancelledError):
                raise result
        return results


Scenario = Callable[[World], Awaitable[None]]


class _Time:
    """Stands in for the module `time`: computations take a while or not, as the seed wants."""

    def __init__(self, loop: ScheduleLoop) -> None:
        self.monotonic = loop.time
        self.time = lambda: EPOCH + loop.time()
        self.worked = 0.0
        self._draw = loop.chance.random

    def perf_counter(self) -> float:
        if self._draw() < 0.25:
            self.worked += 0.01
        return self.worked


class _Uuid:
    """Stands in for the module `uuid`, of which the library wants the hexadecimal form."""

    class Drawn(NamedTuple):
        hex: str

    def __init__(self, chance: random.Random) -> None:
        self._chance = chance

    def uuid4(self) -> Drawn:
        return self.Drawn(f"{self._chance.getrandbits(128):032x}")


class _Ids:
    """Stands in for `new_id`: each is greater than the one before."""

    def __init__(self, loop: ScheduleLoop) -> None:
        self.last = 0
        self._loop = loop

    def __call__(self) -> str:
        self.last = max(self.last + 1, int((EPOCH + self._loop.time()) * TICKS_PER_SECOND))
        return id_at(self.last, self._loop.chance.getrandbits(62))


@contextmanager
def _all_from(loop: ScheduleLoop) -> Iterator[None]:
    """Let time, identifiers and random pauses of the library come from the loop."""
    time, identifiers, ids = _Time(loop), _Uuid(loop.chance), _Ids(loop)

    def begin() -> None:
        time.worked = 0.0
        ids.last = 0

    loop.began = begin
    with pytest.MonkeyPatch.context() as patch:
        for module in (pace, elapsed, lease, state, expiring, claims, idempotency, effects, outcomes):
            patch.setattr(module, "time", time)
        for module in (lease, claims, effects, outbox_message):
            patch.setattr(module, "uuid", identifiers)
        patch.setattr(outbox_entries, "new_id", ids)
        patch.setattr(outbox_work, "random", loop.chance)
        patch.setattr("random.uniform", loop.chance.uniform)  # of `backoff`, which imports it when it waits
        yield


def run(scenario: Scenario, seed: int, *, traced: bool = False) -> World:
    """Run one schedule and return what happened."""
    with _playing(seed, traced=traced) as loop:
        return _run(loop, scenario)


@contextmanager
def _playing(seed: int, *, traced: bool = False) -> Iterator[ScheduleLoop]:
    """Yield a loop for schedules from which all that is left to chance comes."""
    loop = ScheduleLoop(seed, traced=traced)
    with _all_from(loop), closing(loop):
        yield loop


def _run(loop: ScheduleLoop, scenario: Scenario) -> World:
    world = World(loop)

    async def main() -> None:
        await scenario(world)

    try:
        loop.run(main())
    except BaseException as error:
        error.world = world  # type: ignore[attr-defined]
        raise
    return world


def explore(scenario: Scenario, schedules: int, again: Callable[[], bool] = lambda: False) -> None:
    """Run the scenario under many schedules; the first that fails is run again, traced, and told.

    Args:
        scenario: an async function of the world; it makes everything anew, but for what `processes` keeps.
        schedules: how many, times `FACTOR`.
        again: called when they have run; they run once more as long as it returns True.
    """
    seeds = [int(SEED)] if SEED else range(max(1, int(schedules * FACTOR)))
    with _own_garbage(), _measured() as ran, _playing(0) as loop:
        while True:
            for seed in seeds:
                try:
                    loop.begin(seed)
                    _run(loop, scenario)
                except Exception as error:
                    raise AssertionError(_replayed(scenario, seed, error)) from error
                ran.schedules += 1
                ran.steps += loop.steps
            if not again():
                break
    if loop.complaints:  # with the garbage came exceptions that nobody had looked at
        raise AssertionError(_unseen(scenario, seeds, loop.complaints))


@contextmanager
def _measured() -> Iterator[Ran]:
    """Yield what the file of the current test has run, and add the time of the block to it."""
    file = os.environ.get("PYTEST_CURRENT_TEST", "by hand").partition("::")[0]
    ran, began = RAN[file.rpartition("/")[2]], time.process_time()
    try:
        yield ran
    finally:
        ran.seconds += time.process_time() - began


@contextmanager
def _own_garbage() -> Iterator[None]:
    """At the end collect what the block left, which tells of exceptions that nobody looked at, and nothing else."""
    is_suite = gc.get_freeze_count() > 0  # what pytest collected stays out of all collections: tests/conftest.py
    gc.freeze()
    logging.disable(logging.ERROR)  # faults are no news here, and pytest would keep a record of each
    try:
        yield
        gc.collect()
    finally:
        logging.disable(logging.NOTSET)
        if not is_suite:
            gc.unfreeze()


def _replayed(scenario: Scenario, seed: int, first: Exception) -> str:
    """Run the seed once more and return how it went; if it goes well then, that is a defect of its own."""
    name = getattr(scenario, "__qualname__", "scenario")
    how = f"schedule {seed} of {name} fails; SCHEDULE_SEED={seed} with the same test runs it again"
    try:
        run(scenario, seed, traced=True)
    except Exception as error:
        world: World = error.world  # type: ignore[attr-defined]
        steps = [f"  {at:.6f} {what}" for at, what in world.loop.trace[-SHOWN:]]
        events = [f"  {event}" for event in world.events[-SHOWN:]]
        return "\n".join([how, f"the last of {world.loop.steps} steps:", *steps, "events:", *events, _told(error)])
    return f"{how}. But the second run went well: something does not come from the seed. The first: {_told(first)}"


def _unseen(scenario: Scenario, seeds: Iterable[int], told: list[str]) -> str:
    """Run the schedules once more, each with its own garbage, and return which of them leaves exceptions unseen."""
    complaints: dict[int, list[str]] = {}
    for seed in seeds:
        loop = run(scenario, seed).loop
        gc.collect()
        complaints |= {seed: loop.complaints} if loop.complaints else {}
    return f"schedules and what nobody looked at in them: {complaints or told}"


def _told(error: Exception) -> str:
    return f"{type(error).__name__}: {error}"
