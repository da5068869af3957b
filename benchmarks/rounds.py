"""A run over one engine: stores filled, then every workload in interleaved rounds."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path

from .contenders import Entry
from .data import FILTERED, work_key
from .engines import Places
from .results import Burst, Results
from .stats import turned
from .worker import Worker, WorkerError, WorkerGoneError
from .workloads import EMPTY_STAGE, ORDERS_STAGE, Workload

_FILL_SECONDS = 1_800.0
_BURST_SECONDS = 60.0
_STALL_ROUNDS = 5
_ROOT = Path(__file__).parents[1]


@dataclass(frozen=True)
class Plan:
    """How long and how often.

    Attributes:
        rounds: Bursts of each contender in each workload.
        seconds: Of each burst.
        say: Told what is going on.
    """

    rounds: int = 7
    seconds: float = 0.15
    say: Callable[[str], None] = print


class Run:
    """The contenders of an engine, each with its process and its place."""

    def __init__(self, places: Places, entries: Sequence[Entry], plan: Plan, results: Results) -> None:
        self._places = places
        self._plan = plan
        self._results = results
        self._entries = {entry.name: entry for entry in entries}
        self._workers: dict[str, Worker] = {}
        self._seconds: dict[str, Worker] = {}
        self._place: dict[str, str] = {}

    def run(self, workloads: Sequence[Workload]) -> None:
        try:
            for entry in self._entries.values():
                self._workers[entry.name] = Worker(entry.name)
            self._note_memory("before the import")
            ordered = sorted(workloads, key=lambda workload: workload.stage % 10**9)  # the others come last
            for stage, group in groupby(ordered, key=lambda workload: workload.stage):
                self._stage(stage, list(group))
        finally:
            for worker in (*self._seconds.values(), *self._workers.values()):
                worker.stop()

    # --- a stage ---------------------------------------------------------------------------------------

    def _stage(self, stage: int, workloads: list[Workload]) -> None:
        wanted = {name for workload in workloads for name in self._offering(workload)}
        self._fill(stage, [name for name in self._workers if name in wanted])
        for workload in workloads:
            self._workload(workload)
        self._note_memory(_named(stage))

    def _fill(self, stage: int, names: list[str]) -> None:
        """Let the stores grow to the stage, all at the same time; nothing is measured meanwhile."""
        self._plan.say(f"  filling a store: {_named(stage)}")
        for name in names:
            if name not in self._place or stage < 0:
                self._attempt(name, "close")
                self._place[name] = self._places.new(name)
                self._attempt(name, "open", self._place[name])
        sent = [name for name in names if name in self._workers]
        for name in sent:
            self._workers[name].send("fill", stage)
        for name in sent:
            if self._attempt(name, timeout=_FILL_SECONDS) is not _FAILED:
                self._places.settle(self._place[name])

    def _offering(self, workload: Workload) -> list[str]:
        """The contenders that take part in a workload."""
        return [
            name
            for name in self._workers
            if all(self._entries[name].type.offers(need) for need in workload.needs)
            and (not self._entries[name].writes_only or workload.needs == ("set",))
            and (not workload.grows or self._entries[name].grows)
            and not (workload.kind == "replay" and self._entries[name].type.only_dicts)
            and not (name == "pgbench" and (workload.kind not in ("get", "set", "keys", "entries")))
        ]

    # --- a workload ------------------------------------------------------------------------------------

    def _workload(self, workload: Workload) -> None:
        names = self._offering(workload)
        if workload.processes > 1:
            self._open_seconds(names, workload.stage)
        for name in names:
            self._burst(name, workload, self._plan.seconds / 3)  # warms up; not counted
        found = self._results.bursts.setdefault(workload.name, {})
        for turn in range(min(self._plan.rounds, workload.rounds)):
            for name in turned(names, turn):
                burst = self._burst(name, workload, self._plan.seconds)
                if (
                    workload.stall
                    and turn < _STALL_ROUNDS
                    and name in self._workers
                    and not self._entries[name].type.batched
                ):
                    burst.stall = self._burst(name, workload, self._plan.seconds, ticker=True).stall
                found.setdefault(name, []).append(burst)
        self._plan.say("  " + _line(workload, found))
        if workload.processes > 1:
            self._close_seconds(names, workload.stage)

    def _burst(self, name: str, workload: Workload, seconds: float, *, ticker: bool = False) -> Burst:
        if name not in self._workers:
            return Burst(failed=1, error=self._results.absent.get(name))
        if workload.kind == "cold":
            return self._cold(name)
        workers = [self._workers[name], *([self._seconds[name]] if workload.processes > 1 else [])]
        try:
            for worker in workers:
                worker.send("burst", workload, seconds, ticker)
            return _together([worker.answer(_BURST_SECONDS + seconds) for worker in workers])
        except WorkerGoneError as error:
            self._leave_out(name, error)
            return Burst(failed=1, error=str(error))
        except WorkerError as error:
            return Burst(failed=1, error=str(error))

    def _open_seconds(self, names: list[str], stage: int) -> None:
        """A second process on the same store, for each."""
        for name in names:
            if name in self._workers and name not in self._seconds:
                self._seconds[name] = Worker(name)
                self._seconds[name].ask("open", self._place[name])
                self._seconds[name].ask("resume", stage)

    def _close_seconds(self, names: list[str], stage: int) -> None:
        """End the second processes; and open the first ones anew, some of which a lock error has left unusable."""
        for name in names:
            if name in self._seconds:
                self._seconds.pop(name).stop()
                self._attempt(name, "close")
                self._attempt(name, "open", self._place[name])
                self._attempt(name, "resume", stage)

    def _cold(self, name: str) -> Burst:
        key = work_key("s", 7)
        command = [sys.executable, "-m", "benchmarks.cold", name, self._place[name], key]
        # With bytecode, as an installed package has it: where this variable is set, what is imported from a folder
        # would be compiled anew each time.
        env = {name: text for name, text in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
        run = subprocess.run(command, capture_output=True, text=True, cwd=_ROOT, timeout=60, check=False, env=env)
        try:
            said = json.loads(run.stdout.splitlines()[-1])
        except (ValueError, IndexError):
            return Burst(failed=1, error=run.stderr[-300:])
        took = said["seconds"]
        return Burst(ops=1, seconds=took, wrong=int(said["id"] != key), p50=took * 1e6, p99=took * 1e6)

    # --- a contender that fails is left out from then on, and reported -----------------------------------

    def _attempt(self, name: str, command: str | None = None, *arguments: object, timeout: float = 60.0) -> object:
        worker = self._workers.get(name)
        if worker is None:
            return _FAILED
        try:
            if command is None:
                return worker.answer(timeout)
            return worker.ask(command, *arguments, timeout=timeout)
        except WorkerError as error:
            self._leave_out(name, error)
            return _FAILED

    def _leave_out(self, name: str, error: WorkerError) -> None:
        self._plan.say(f"  {name} is out: {error}")
        self._results.absent[name] = str(error)
        self._workers.pop(name).kill()
        if name in self._seconds:
            self._seconds.pop(name).kill()

    def _note_memory(self, when: str) -> None:
        for name in list(self._workers):
            found = self._attempt(name, "memory")
            if isinstance(found, dict):
                self._results.memory.setdefault(name, {})[when] = found["anonymous"]
                self._results.memory[name][f"{when}, USS"] = found["uss"]


_FAILED = object()


def _named(stage: int) -> str:
    return {EMPTY_STAGE: "empty", ORDERS_STAGE: f"{FILTERED:,} orders"}.get(stage, f"{stage:,} entries")


def _together(bursts: list[Burst]) -> Burst:
    """What several processes did at the same time, as one burst."""
    first = bursts[0]
    for other in bursts[1:]:
        first.ops, first.failed, first.wrong = (
            first.ops + other.ops,
            first.failed + other.failed,
            first.wrong + other.wrong,
        )
        first.seconds = max(first.seconds, other.seconds)
        first.error = first.error or other.error
    return first


def _line(workload: Workload, found: dict[str, list[Burst]]) -> str:
    """What the terminal shows while it goes on."""
    rates = {name: sorted(burst.rate for burst in bursts)[len(bursts) // 2] for name, bursts in found.items()}
    parts = [f"{name} {rate:,.0f}" for name, rate in sorted(rates.items(), key=lambda item: -item[1])]
    return f"{workload.name:16} " + "  ".join(parts)
