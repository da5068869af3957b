"""The whole chain bites: recorded on a store that breaks a promise, a history is rejected."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path

import pytest

from ad_seller.storage.sqlite_backend import SQLiteBackend

from . import torture
from .__main__ import main
from .arenas import ARENAS, Arena
from .broken_stores import BROKEN, OUTSIDE, UNTIMELY, LostUpdates
from .rounds import Plan, run_round


def arena_of(store: type[SQLiteBackend], folder: Path) -> Arena:
    return Arena(partial(store, str(folder / "store.db")), clients=2, seconds=0.5)


@pytest.mark.parametrize(
    ("store", "told"),
    [
        (SQLiteBackend, ""),
        *((one, "no order explains") for one in BROKEN),
        *((one, "time to live") for one in UNTIMELY),
        *OUTSIDE,
    ],
)
def test_a_broken_promise_is_found(store: type[SQLiteBackend], told: str, tmp_path: Path) -> None:
    arena = arena_of(store, tmp_path)
    found: list[str] = []
    for number in range(1 if store is SQLiteBackend else 20):
        report = run_round(arena, Plan(f"broken/{number}", cancelled=0.1), tmp_path / f"round-{number}")
        assert report.acknowledged > 0
        found += [violation for violation in report.violations if told in violation]
        if found:
            break
    assert bool(found) == (store is not SQLiteBackend), found[:1]


def test_a_violation_ends_with_1_and_keeps_the_record(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    @contextmanager
    def broken(folder: Path) -> Iterator[Arena]:
        yield arena_of(LostUpdates, folder)

    monkeypatch.setitem(ARENAS, "sqlite", broken)
    kept = tmp_path / "kept"
    arguments = ["--backend", "sqlite", "--part", "histories", "--rounds", "3", "--seed", "7", "--keep", str(kept)]
    assert main(arguments) == 1
    told = capsys.readouterr().out
    assert "3 rounds (seeds 7 to 9)" in told
    assert "no order explains" in told
    assert any(folder.name.startswith("histories-sqlite-") for folder in kept.iterdir())


def test_the_outcome_for_machines(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--backend", "memory", "--part", "histories", "--rounds", "1", "--seed", "3", "--json"]) == 0
    [outcome] = json.loads(capsys.readouterr().out)
    assert (outcome["part"], outcome["backend"], outcome["seeds"]) == ("histories", "memory", [3, 3])
    assert outcome["violations"] == []
    assert outcome["counts"]["acknowledged writes"] > 0


def test_mixed_up_answers_are_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class MixesUp(SQLiteBackend):
        async def get(self, key: str) -> object:
            return await super().get("storm:0" if key.startswith("storm:") else key)

    @contextmanager
    def broken(folder: Path) -> Iterator[Arena]:
        yield arena_of(MixesUp, folder)

    monkeypatch.setitem(ARENAS, "sqlite", broken)
    outcome = torture.cancellations("sqlite", 1, 1000, tmp_path, lambda done: None)
    assert "the answer for another key" in outcome.violations[0]
