"""The short form of `make torture`: each fault once on each engine, cancelled operations, each kind of crash."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from ad_seller.storage.memory_backend import MemoryBackend
from ad_seller.storage.testing.servers import ServerError

from .arenas import ARENAS, GROUPS, Arena
from .rounds import Plan, plan, run_round
from .torture import CRASHES, cancellations, crashes, histories

#: Rounds of what the others have had already.
FEWER = {"hybrid": 2, "sentinel-both": 1, "sqlite-loops": 1, "redis-loops": 1, "postgres-loops": 1}


def every_fault(arena: Arena) -> Iterator[tuple[str, ...]]:
    """Yield rounds of up to three faults; each once, at most one in a round that makes another server take over."""
    harmless = sorted(arena.faults.keys() - arena.undone)
    fail_overs = sorted(arena.undone)
    while harmless or fail_overs:
        size = 2 if fail_overs else 3
        yield (*harmless[:size], *fail_overs[:1])
        harmless, fail_overs = harmless[size:], fail_overs[1:]


@pytest.mark.parametrize("name", ARENAS)
def test_histories_are_linearizable(name: str, tmp_path: Path) -> None:
    with ARENAS[name](tmp_path) as arena:
        rounds = list(every_fault(arena))[: FEWER.get(name)]
        plans = [
            Plan(
                f"{name}/{number}",
                tuple((arena.seconds * (place + 0.5) / 3, fault) for place, fault in enumerate(faults)),
                cancelled=0.05,
            )
            for number, faults in enumerate(rounds)
        ]
        for number, planned in enumerate(plans or [Plan(name, cancelled=0.3)]):
            report = run_round(arena, planned, tmp_path / f"round-{number}")
            assert report.violations == [], f"{planned}:\n" + "\n".join(report.violations)
            assert report.acknowledged > 0, report.outcomes


@pytest.mark.parametrize("name", [name for name in ARENAS if name not in GROUPS])
def test_cancelled_operations_mix_up_nothing(name: str, tmp_path: Path) -> None:
    outcome = cancellations(name, 1, 300, tmp_path, lambda done: None)
    assert outcome.violations == []
    assert outcome.counts["cancelled"] >= 300
    assert outcome.counts["completed"] > 0


@pytest.mark.parametrize("name", CRASHES)
def test_crashes_lose_nothing_that_was_acknowledged(name: str, tmp_path: Path) -> None:
    outcome = crashes(name, 1, 2, tmp_path, lambda done: None)
    assert outcome.violations == []
    assert outcome.counts["faults"] == 2
    assert outcome.counts["acknowledged writes"] > 0


def test_servers_that_stay_away_end_their_part_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def mend() -> None:
        if len(done) == 2:
            raise ServerError("no master")

    @contextmanager
    def broken(folder: Path) -> Iterator[Arena]:
        yield Arena(MemoryBackend, mend=mend, clients=1, seconds=0.1, shared=False)

    done: list[int] = []
    monkeypatch.setitem(ARENAS, "memory", broken)
    outcome = histories("memory", 7, 5, tmp_path, done.append)
    assert outcome.rounds == 2
    assert outcome.counts["acknowledged writes"] > 0
    assert len(outcome.violations) == 1
    assert outcome.violations[0].startswith("seed 9 (no faults; ")
    assert outcome.violations[0].endswith(" could not be judged: no master")


def test_a_seed_plans_the_same_again() -> None:
    arena = Arena(lambda: None, dict.fromkeys("abcdef", lambda clients, chance: None))  # type: ignore[arg-type,return-value]
    plans = [plan(arena, f"redis/{number}") for number in range(50)]
    assert plans == [plan(arena, f"redis/{number}") for number in range(50)]
    assert {fault for planned in plans for _, fault in planned.faults} == set("abcdef")
