"""A deal at the ad server, killed at each of its steps, on a real file: one order, line, deal and answer."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

from tests.atomic.support import ROOT


def test_killed_at_every_step(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "tests.effects.crashing", f"sqlite:///{tmp_path}/effects.db"]
    run = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=120)
    assert (run.returncode, run.stderr) == (0, "")
    assert int(run.stdout) >= 10  # steps at which it was killed


def test_the_page_names_tests_that_are_there() -> None:
    named = set(re.findall(r"`(tests/[\w/]+\.py)::(\w+)`", (ROOT / "docs" / "exactly-once.md").read_text()))
    assert len(named) > 10
    for file, test in named:
        assert f"def {test}(" in (ROOT / file).read_text(), (file, test)
