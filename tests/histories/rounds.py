"""A round: clients use a store while it is broken, and what they were told is checked."""

from __future__ import annotations

import asyncio
import random
import shutil
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

from ad_seller.storage import StorageError

from .arenas import Arena
from .checker import ROLLBACK, UndecidedError, check
from .client import MESSAGES, OUTSIDE, WRONG, Client, connected, read_all
from .clients import Clients
from .messages import Courier, mistakes
from .model import READS, Operation
from .operations import Chooser, Keys, NewKeys
from .outside import made_twice
from .recorder import Record, Recorder, has_begun, prepare

_STOP = "stop"  #: the file that tells clients to end
_PATIENCE = 30.0  #: seconds that a client may take to begin, or be silent; a call takes 5 at most

#: Errors that a caller is told when something is broken; any other would be a mistake of ours.
_EXPECTED = ("StorageConnectionError", "StorageTimeoutError", "StoreUnavailableError", "ConflictError", "LostError")


@dataclass(frozen=True)
class Plan:
    """What happens in a round; it follows from the seed.

    Attributes:
        seed: of everything that is chosen at random.
        faults: when, in seconds from the start, and which.
        cancelled: which part of the operations is cancelled.
        timeout: seconds that a call waits.
        chooser: what the clients do.
    """

    seed: str
    faults: tuple[tuple[float, str], ...] = ()
    cancelled: float = 0.0
    timeout: float = 5.0
    chooser: type[Chooser] | type[NewKeys] = Chooser

    def __str__(self) -> str:
        """Show it in one line."""
        faults = ", ".join(f"{name} at {at:.2f} s" for at, name in self.faults) or "no faults"
        return f"{faults}; {self.cancelled:.0%} cancelled, time-out {self.timeout:g} s"


def plan(arena: Arena, seed: str) -> Plan:
    """Return what a seed stands for: up to three faults, of which one at most makes another server take over."""
    chance = random.Random(seed)
    harmless = sorted(arena.faults.keys() - arena.undone)
    names = chance.choices(harmless, k=chance.choice((0, 1, 1, 2, 2, 3))) if harmless else []
    if arena.undone and chance.random() < 0.7:
        names.append(chance.choice(sorted(arena.undone)))
    chance.shuffle(names)
    times = sorted(chance.uniform(0.05, 0.8) * arena.seconds for _ in names)
    return Plan(
        seed,
        tuple(zip(times, names, strict=True)),
        cancelled=chance.choice((0.0, 0.05, 0.1 if arena.undone else 0.3)),
        timeout=5.0 if arena.undone else chance.choice((0.5, 1.0, 5.0)),
    )


@dataclass
class Report:
    """What came of a round.

    Attributes:
        plan: what was planned.
        outcomes: how often callers were told what.
        acknowledged: how many writes were.
        violations: what must not be, as text; empty if all is well.
        seconds: how long it took, without and with checking.
    """

    plan: Plan
    outcomes: dict[str, int] = field(default_factory=dict)
    acknowledged: int = 0
    violations: list[str] = field(default_factory=list)
    seconds: tuple[float, float] = (0.0, 0.0)


def run_round(arena: Arena, planned: Plan, folder: Path) -> Report:
    """Run a round, and check it.

    Args:
        arena: where.
        planned: what happens.
        folder: for what is written down; made anew, and it stays.
    """
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    began = time.monotonic()
    keys = arena.keys(f"{folder.name}-{time.monotonic_ns():x}")
    report = Report(planned)
    clients = Clients(keys, _new_client(arena, planned, folder, keys))
    try:
        for _ in range(arena.clients):
            clients.start()
        _wait_for_all(folder, arena.clients)
        started = time.monotonic()
        fail_overs, harm = _inflict(arena, planned, clients, started)
        report.violations += harm
        arena.mend()
        time.sleep(max(0.0, started + arena.seconds - time.monotonic()))
        _wait_for_a_write(folder)
    finally:
        (folder / _STOP).touch()
        report.violations += clients.join(_PATIENCE)
    record = Record()
    for path in sorted(folder.glob(f"c*{WRONG}")):
        report.violations.append(f"time to live, seen by client {path.stem}: {path.read_text()}")
    for path in sorted(_recorded(folder)):
        record.add(path)
    if arena.shared:
        record.add(asyncio.run(_read_at_last(arena, keys, record, _prepared(folder / "last"))))
    recorded = time.monotonic()
    report.outcomes = record.outcomes
    report.acknowledged = _writes(record)
    report.violations += _mistakes(record)
    report.violations += _unexplained(record.operations + fail_overs)
    report.violations += made_twice(folder / OUTSIDE)
    report.violations += mistakes(_messages(folder).operations, record.operations)
    report.seconds = (recorded - began, time.monotonic() - began)
    return report


def _new_client(arena: Arena, planned: Plan, folder: Path, keys: Keys) -> Callable[[int], Client]:
    def new_client(number: int) -> Client:
        return Client(
            open_store=partial(arena.open_store, timeout=planned.timeout),
            path=_prepared(folder / f"c{number}"),
            keys=keys,
            seed=f"{planned.seed}/c{number}",
            stop=folder / _STOP,
            tasks=arena.tasks,
            cancelled=planned.cancelled,
            pause=arena.pause,
            chooser=planned.chooser,
            loops=arena.loops,
            disturb=arena.disturb,
        )

    return new_client


def _prepared(path: Path) -> Path:
    prepare(path.with_suffix(MESSAGES))
    return prepare(path)


def _messages(folder: Path) -> Record:
    """Return what clients wrote down about the outbox."""
    record = Record()
    for path in sorted(folder.glob(f"*{MESSAGES}")):
        record.add(path)
    return record


def _wait_for_all(folder: Path, clients: int) -> None:
    """Wait until every client has begun; nothing else would be heard of one that cannot."""
    until = time.monotonic() + _PATIENCE
    while sum(map(has_begun, _recorded(folder))) < clients and time.monotonic() < until:
        time.sleep(0.005)


def _wait_for_a_write(folder: Path) -> None:
    """Wait until one was acknowledged: on a busy machine a round may be over before anything has come of it."""
    until = time.monotonic() + _PATIENCE
    while not any(map(_acknowledged, _recorded(folder))) and time.monotonic() < until:
        time.sleep(0.05)


def _acknowledged(path: Path) -> int:
    record = Record()
    record.add(path)
    return _writes(record)


def _writes(record: Record) -> int:
    return sum(one.certain and one.action.name not in READS for one in record.operations)


def _recorded(folder: Path) -> Iterator[Path]:
    return (path for path in folder.glob("c*") if not path.suffix)


def _inflict(arena: Arena, planned: Plan, clients: Clients, started: float) -> tuple[list[Operation], list[str]]:
    """Let everything go wrong that is planned; return when writes may have been undone, and what faults found."""
    fail_overs = []
    harm = []
    for number, (at, name) in enumerate(planned.faults):
        time.sleep(max(0.0, started + at - time.monotonic()))
        if name in arena.undone:
            fail_overs.append(Operation(ROLLBACK, time.monotonic_ns(), None, certain=False))
        if clients.living:
            try:
                arena.faults[name](clients, random.Random(f"{planned.seed}/{number}"))
            except (AssertionError, StorageError) as error:
                harm.append(f"{name}: {error}")
    return fail_overs, harm


async def _read_at_last(arena: Arena, known: Keys, record: Record, path: Path) -> Path:
    """Read every key when all is over, and deliver what still waits."""
    keys = sorted({key for one in record.operations for key in one.action.keys})
    store = arena.open_store()
    await connected(store)
    with Recorder(path) as recorder, Recorder(path.with_suffix(MESSAGES)) as messages:
        await read_all(store, recorder, known, keys)
        await Courier(store, known.outbox, messages, "last", "last").deliver_all()
    await store.disconnect()
    return path


def _mistakes(record: Record) -> list[str]:
    """Return what no caller should ever be told."""
    failed = [text for text in record.errors.get("failed", []) if text.split(": ")[1] not in _EXPECTED]
    return [f"no error for callers: {text}" for text in failed + record.errors.get("leaked", [])]


def _unexplained(history: list[Operation]) -> list[str]:
    try:
        return [str(violation) for violation in check(history)]
    except UndecidedError as error:
        return [str(error)]
