"""Tests that share servers are on one worker, the others on all; a worker that dies takes none with it."""

from __future__ import annotations

import os
import subprocess
import sys
from collections import Counter, defaultdict
from pathlib import Path

from tests import conftest, spread
from tests import test_failure_table as table
from tests.docs_samples import ROOT

HOOKS = """
import pathlib, time
import pytest
from tests.spread import pytest_collection_modifyitems, pytest_xdist_make_scheduler

def pytest_collection_finish(session):
    pathlib.Path(f"ready-{getattr(session.config, 'workerinput', {}).get('workerid')}").touch()

@pytest.fixture(autouse=True)
def noted(worker_id, request):
    while len(list(pathlib.Path().glob("ready-gw*"))) < 3:
        time.sleep(0.01)
    with open("log", "a") as log:
        log.write(f"{worker_id} {request.node.nodeid}\\n")
    time.sleep(0.02)
"""
SUITE = """
import os, pathlib
import pytest

@pytest.mark.parametrize("number", range({size}))
def test_one(number):
    pass
"""
FEW, MANY = SUITE.format(size=12), SUITE.format(size=120)
DEADLY = """
    if number == 5 and not pathlib.Path("died").exists():
        pathlib.Path("died").touch()
        os._exit(1)
"""


def run(folder: Path, suites: dict[str, str], *more: str) -> tuple[str, dict[str, set[str]], Counter[str]]:
    """Run tests; return what was told, which workers each file had, and how often each test began.

    Of three workers two begin where the groups stand: they would share one that is none.
    """
    for name, text in suites.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text)
    (folder / "conftest.py").write_text(HOOKS)
    (folder / "pytest.ini").write_text("[pytest]\n")
    ended = subprocess.run(
        [sys.executable, "-m", "pytest", "-n", "3", "-p", "xdist", "--import-mode=importlib", *more],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(ROOT), "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"},
        capture_output=True,
        text=True,
        timeout=110,
    )
    workers: dict[str, set[str]] = defaultdict(set)
    begun: Counter[str] = Counter()
    for line in (folder / "log").read_text().splitlines():
        worker, name = line.split()
        workers[name.partition("::")[0]].add(worker)
        begun[name] += 1
    return ended.stdout + ended.stderr, workers, begun


def test_what_shares_servers_is_on_one_worker_and_all_else_on_all(tmp_path: Path) -> None:
    shared = [f"tests/{folder}/test_{name}.py" for folder in ("cluster", "sentinel") for name in ("a", "b")]
    told, workers, begun = run(tmp_path, dict.fromkeys(shared, FEW) | {"tests/test_other.py": MANY})
    assert "168 passed" in told
    assert set(begun.values()) == {1}
    assert len(workers["tests/test_other.py"]) == 3
    for folder in ("cluster", "sentinel"):
        both = workers[f"tests/{folder}/test_a.py"] | workers[f"tests/{folder}/test_b.py"]
        assert len(both) == 1, f"{folder}: {both}"


def test_a_worker_that_dies_takes_no_test_with_it(tmp_path: Path) -> None:
    suites = {"tests/cluster/test_a.py": FEW + DEADLY, "tests/test_other.py": FEW}
    told, _, begun = run(tmp_path, suites, "-p", "pytest_rerunfailures", "--reruns", "1")
    assert "24 passed, 1 rerun" in told
    assert begun.pop("tests/cluster/test_a.py::test_one[5]") == 2
    assert list(begun.values()) == [1] * 23


def test_the_hooks_are_those_of_all_tests() -> None:
    for hook in (spread.pytest_collection_modifyitems, spread.pytest_xdist_make_scheduler):
        assert getattr(conftest, hook.__name__) is hook


def test_the_names_are_those_of_tests() -> None:
    rows = {
        f"tests/test_failure_table.py::{table.test_the_caller_gets_what_the_table_says.__name__}[{row.engine}: "
        for row in table.rows()
    }
    for start in (*spread.WAITING, *spread.COMPUTING):
        assert start in rows or (ROOT / start.removesuffix("::")).exists(), start
