"""What `make torture` runs on a backend: histories under faults, cancelled operations, crashes, kills."""

from __future__ import annotations

import asyncio
import random
import shutil
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from ad_seller.storage import StorageBackend, Transaction
from ad_seller.storage.testing.servers import ServerError
from tests.storms import Operation, cancel_at_random, value_of

from .arenas import ARENAS, GROUPS, Arena
from .faults import kill_all_clients
from .kills import GAP, kill_twice
from .operations import NewKeys
from .rounds import Plan, Report, plan, run_round

Progress = Callable[[int], None]  #: called with how much has been done since the last time

ROUNDS = {name: 50 if name in GROUPS else 200 for name in ARENAS}
CANCELLED = 100_000

#: How servers and clients end while they write, and how often that is tried.
CRASHES = {
    "sqlite": (50, ("kill all clients",)),
    "redis": (20, ("crash",)),
    "postgres": (20, ("crash", "immediate shutdown")),
}


@dataclass
class Outcome:
    """What came of a part on a backend.

    Attributes:
        part: which one.
        backend: its name.
        rounds: how many were judged.
        seeds: the first and the last.
        counts: what happened how often.
        violations: each with its seed and plan.
        seconds: how long it took.
    """

    part: str
    backend: str
    rounds: int
    seeds: tuple[int, int]
    counts: Counter[str] = field(default_factory=Counter)
    violations: list[str] = field(default_factory=list)
    seconds: float = 0.0

    def __str__(self) -> str:
        """Show it in one line."""
        counts = ", ".join(f"{number:,} {name}" for name, number in self.counts.items())
        return (
            f"{self.backend:<18}{self.part:<14} {self.rounds} rounds (seeds {self.seeds[0]} to {self.seeds[1]}): "
            f"{len(self.violations)} violations; {counts}; {self.seconds:,.0f} s"
        )


def histories(name: str, seed: int, rounds: int, kept: Path, progress: Progress) -> Outcome:
    """Record histories while things go wrong, and check that they are linearizable.

    Args:
        name: of the backend.
        seed: of the first round; each next one is one more.
        rounds: how many.
        kept: where the records of rounds with violations go.
        progress: told after each round.
    """

    def planned(arena: Arena, number: int) -> Plan:
        return plan(arena, f"{name}/{number}")

    return _rounds("histories", name, range(seed, seed + rounds), planned, lambda arena: arena, kept, progress)


def crashes(name: str, seed: int, rounds: int, kept: Path, progress: Progress) -> Outcome:
    """End the server, or all clients, while entries are written: what was acknowledged is there afterwards."""
    ways = CRASHES[name][1]

    def planned(arena: Arena, number: int) -> Plan:
        at = random.Random(f"{name}/{number}").uniform(0.3, 0.9) * arena.seconds
        return Plan(f"{name}/{number}", ((at, ways[number % len(ways)]),), chooser=NewKeys)

    def prepared(arena: Arena) -> Arena:
        return replace(arena, faults={**arena.faults, "kill all clients": kill_all_clients}, tasks=8, pause=0.002)

    return _rounds("crashes", name, range(seed, seed + rounds), planned, prepared, kept, progress)


def _rounds(
    part: str,
    name: str,
    seeds: range,
    planned: Callable[[Arena, int], Plan],
    prepared: Callable[[Arena], Arena],
    kept: Path,
    progress: Progress,
) -> Outcome:
    outcome = Outcome(part, name, len(seeds), (seeds[0], seeds[-1]))
    began = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="torture-") as text, ARENAS[name](Path(text)) as whole:
        arena = prepared(whole)
        for seed in seeds:
            folder = Path(text) / f"{part}-{name}-{seed}"
            try:
                report = run_round(arena, planned(arena, seed), folder)
            except ServerError as error:  # the servers are not what a next round needs; other arenas have their own
                outcome.rounds = seed - seeds[0]
                outcome.violations.append(f"seed {seed} ({planned(arena, seed)}) could not be judged: {error}")
                break
            _add(outcome, seed, report)
            if report.violations:
                kept.mkdir(parents=True, exist_ok=True)
                shutil.copytree(folder, kept / folder.name, dirs_exist_ok=True, symlinks=True)
                (kept / folder.name / "report").write_text("\n".join([str(report.plan), *report.violations]))
            shutil.rmtree(folder)
            progress(1)
    outcome.seconds = time.monotonic() - began
    return outcome


def _add(outcome: Outcome, seed: int, report: Report) -> None:
    outcome.counts["operations"] += sum(report.outcomes.values())
    outcome.counts["acknowledged writes"] += report.acknowledged
    outcome.counts.update({told: number for told, number in report.outcomes.items() if told != "ok"})
    outcome.counts["faults"] += len(report.plan.faults)
    outcome.violations += [f"seed {seed} ({report.plan}): {violation}" for violation in report.violations]


async def _increment(store: StorageBackend, key: str) -> None:
    assert isinstance(await store.increment(f"count:{key}"), int)


async def _transaction(store: StorageBackend, key: str) -> None:
    async def work(tx: Transaction) -> None:
        for name in (f"pair:{{{key}}}:a", f"pair:{{{key}}}:b"):
            value = await tx.get(name)
            assert value is None or value["key"] == name, f"the answer for another key came to {name}: {value}"
            await tx.set(name, value_of(name))

    await store.transact(work)


async def _compare_and_set(store: StorageBackend, key: str) -> None:
    assert isinstance(await store.compare_and_set(key, value_of(key), value_of(key, 1)), bool)


MORE: list[Operation] = [_increment, _transaction, _compare_and_set]


def cancellations(name: str, seed: int, cancelled: int, kept: Path, progress: Progress) -> Outcome:
    """Cancel operations at random awaits until so many were; each answer that comes must be for the right key."""
    outcome = Outcome("cancellations", name, 1, (seed, seed), Counter(cancelled=0, completed=0))
    began = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="torture-") as text, ARENAS[name](Path(text)) as arena:
        try:
            asyncio.run(_storm(arena, outcome, seed, cancelled, progress))
        except AssertionError as error:
            outcome.violations.append(f"seed {seed}: {error}")
    outcome.seconds = time.monotonic() - began
    return outcome


async def _storm(arena: Arena, outcome: Outcome, seed: int, cancelled: int, progress: Progress) -> None:
    async with arena.open_store(timeout=30.0) as store:
        while outcome.counts["cancelled"] < cancelled:
            ended_early, ended = await cancel_at_random(store, 1000, seed=seed, more=MORE)
            outcome.counts.update(cancelled=ended_early, completed=ended)
            for pattern in ("storm:*", "pair:*"):
                for key, value in (await store.scan(pattern)).items:
                    assert value["key"] == key, f"{key} holds what belongs to another: {value}"
            seed += 1
            progress(ended_early)


def kills(name: str, seed: int, rounds: int, kept: Path, progress: Progress) -> Outcome:
    """Kill the master of a group twice within 40 s: no acknowledged write is lost, no key waits for long."""
    outcome = Outcome("kills", name, rounds, (seed, seed))
    began = time.monotonic()
    for _ in range(rounds):
        with tempfile.TemporaryDirectory(prefix="torture-") as text:
            counts, wrong = kill_twice(name, Path(text))
        longest = max(outcome.counts[GAP], counts[GAP])
        outcome.counts.update(counts)
        outcome.counts[GAP] = longest
        outcome.violations += wrong
        progress(1)
    outcome.seconds = time.monotonic() - began
    return outcome


PARTS: dict[str, Callable[[str, int, int, Path, Progress], Outcome]] = {
    "histories": histories,
    "cancellations": cancellations,
    "crashes": crashes,
    "kills": kills,
}


def amount(part: str, name: str) -> int:
    """Return how much is asked of a backend in a part: rounds, or cancelled operations; 0 if nothing."""
    if part == "crashes":
        return CRASHES[name][0] if name in CRASHES else 0
    if part == "kills":
        return 3 if name in ("cluster", "sentinel") else 0
    return ROUNDS[name] if part == "histories" else CANCELLED * (name != "sentinel-both")


def everything(parts: Iterable[str], names: Iterable[str]) -> list[tuple[str, str]]:
    """Return each part on each backend that has it."""
    return [(part, name) for part in parts for name in names if amount(part, name)]


def as_json(outcome: Outcome) -> dict[str, Any]:
    """Return it for machines."""
    return {**outcome.__dict__, "counts": dict(outcome.counts), "seconds": round(outcome.seconds, 1)}
