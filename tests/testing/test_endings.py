"""A run of the kit ends in time, whatever the backend does, and with the process that wanted it."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

from ad_seller.storage.testing import runner
from tests.docs_samples import ROOT

HERE = "tests.testing.backends"
CHECKS = ["create_does_not_replace", "missing_entry", "one_of_many_creates", "update_loses_nothing"]


@pytest.fixture(autouse=True)
def directory(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)


def of_the_run(folder: Path) -> list[psutil.Process]:
    """Return the processes that a run with this folder for temporary files has started, and that go on."""
    found = []
    for process in psutil.process_iter():
        try:
            if process.environ().get("CONFORM_TEST") == str(folder) and process.status() != psutil.STATUS_ZOMBIE:
                found.append(process)
        except (psutil.NoSuchProcess, psutil.AccessDenied):
            continue
    return found


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL, signal.SIGINT], ids=lambda number: number.name)
@pytest.mark.parametrize("backend", ["Blocking", "Waiting"])
def test_the_checks_end_with_the_command(tmp_path: Path, number: signal.Signals, backend: str) -> None:
    command = [sys.executable, "-m", "ad_seller.storage.cli", "conform", f"{HERE}:{backend}", "--check", CHECKS[0]]
    environment = {**os.environ, "TMPDIR": str(tmp_path), "CONFORM_TEST": str(tmp_path)}
    with subprocess.Popen(
        command, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    ) as process:
        deadline = time.monotonic() + 30
        while not list(tmp_path.glob("conform-*/tmp/running")):
            assert time.monotonic() < deadline, "the check has not begun"
            time.sleep(0.02)
        process.send_signal(number)
    deadline = time.monotonic() + 60
    while (left := [*of_the_run(tmp_path), *tmp_path.iterdir()]) and time.monotonic() < deadline:
        time.sleep(0.02)
    assert not left


def test_checks_after_one_that_hangs_are_made_by_a_new_process() -> None:
    began = time.monotonic()
    report = runner.run(f"{HERE}:Blocking", checks=CHECKS, seconds=1)
    assert time.monotonic() - began < 30, "the limit of seconds is kept"
    assert report.planned == len(report.checks) == 4
    outcomes = {check.id: check.outcome for check in report.checks}
    assert outcomes == dict(zip(CHECKS, ["failed", "passed", "failed", "passed"], strict=True))
    assert all("did not end within 1 s" in failure.message for failure in report.failures)


def test_checks_after_one_that_ends_the_process_are_made_by_a_new_one() -> None:
    report = runner.run(f"{HERE}:Dying", checks=CHECKS)
    assert [failure.id for failure in report.failures] == [CHECKS[0], CHECKS[2]]
    assert all("exit code 7" in failure.message for failure in report.failures)
    assert len(report.checks) == 4


def test_what_a_hung_check_left_in_the_store_is_in_nobodys_way(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/store.db"
    report = runner.run(f"{HERE}:BlockingFile", url=url, checks=["missing_entry", *CHECKS], seconds=1)
    assert {failure.id for failure in report.failures} == {CHECKS[0], CHECKS[2]}
    assert len(report.checks) == 4


def test_core_comes_first() -> None:
    report = runner.run(f"{HERE}:plain", checks=["update_loses_nothing", "pattern_finds", "missing_entry"])
    assert report.passed
    assert [check.level for check in (report.checks[0], report.checks[-1])] == ["core", "atomic"]
