"""A deal at the ad server and its messages, killed at each step, on a real file: all of it is there once."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

from tests.atomic.support import ROOT


def killed_at_every_step(folder: Path, *more: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "tests.effects.crashing", f"sqlite:///{folder}/effects.db", *more]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=120)


def test_killed_at_every_step(tmp_path: Path) -> None:
    run = killed_at_every_step(tmp_path)
    assert (run.returncode, run.stderr) == (0, "")
    assert int(run.stdout) >= 20  # steps at which it was killed: of the booking, and of the worker of its messages


def test_messages_that_are_no_part_of_the_commit_are_found(tmp_path: Path) -> None:
    run = killed_at_every_step(tmp_path, "--told-later")
    assert run.returncode == 1
    assert "assert len(ids) == len(TOLD)" in run.stderr


def test_the_page_names_tests_that_are_there() -> None:
    named = set(re.findall(r"`(tests/[\w/]+\.py)::(\w+)`", (ROOT / "docs" / "exactly-once.md").read_text()))
    assert len(named) > 10
    for file, test in named:
        assert f"def {test}(" in (ROOT / file).read_text(), (file, test)
