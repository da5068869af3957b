"""A deal at the ad server and its messages, killed at each step, on a real file: all of it is there once."""

from __future__ import annotations

import itertools
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests import warm
from tests.atomic.support import ROOT


def killed_at_every_step(folder: Path, *more: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "tests.effects.crashing", f"sqlite:///{folder}/effects.db", *more]
    return warm.run(command, cwd=ROOT, text=True, timeout=120)


def test_killed_at_every_step(tmp_path: Path) -> None:
    run = killed_at_every_step(tmp_path)
    # A busy machine says this, and goes on.
    told = [line for line in run.stderr.splitlines() if "longer than the worker's lease" not in line]
    assert (run.returncode, told) == (0, [])
    assert int(run.stdout) >= 15  # steps at which it was killed: of the booking, and of the worker of its messages


def test_messages_that_are_no_part_of_the_commit_are_found(tmp_path: Path) -> None:
    run = killed_at_every_step(tmp_path, "--told-later")
    assert run.returncode == 1
    assert "assert len(ids) == len(TOLD)" in run.stderr


def test_a_message_that_is_acknowledged_twice_is_found(tmp_path: Path) -> None:
    run = killed_at_every_step(tmp_path, "--acknowledged-twice")
    assert run.returncode == 1
    assert "AssertionError: acknowledged twice" in run.stderr


PAGES = ("exactly-once.md", "outbox.md")
NAMED = re.compile(r"`(tests/[\w/]+\.py)::(\w+)`")
#: Cells that promise nothing.
NOTHING = ("it was not asked", "it is not needed here", "it has it; by the id it knows when it comes again")


def cells(page: str) -> Iterator[str]:
    """Yield the cells of the table that says what is promised at each step."""
    lines = iter((ROOT / "docs" / page).read_text().splitlines())
    for line in lines:
        if line.startswith("| where | the process dies |"):
            for row in itertools.takewhile(lambda row: row.startswith("|"), lines):
                yield from (cell.strip() for cell in row.strip("|").split("|")[1:] if set(cell) != {"-"})
            return
    raise AssertionError(f"{page} has no table of promises")


@pytest.mark.parametrize("page", PAGES)
def test_each_promise_names_a_test_that_is_there(page: str) -> None:
    promises = [cell for cell in cells(page) if cell not in NOTHING]
    assert len(promises) >= 10
    assert [cell for cell in promises if not NAMED.search(cell)] == []
    for file, test in NAMED.findall((ROOT / "docs" / page).read_text()):
        assert f"def {test}(" in (ROOT / file).read_text(), (file, test)
