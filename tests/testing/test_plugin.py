"""The pytest plugin: in a project of somebody else, and in the runs of `conform`."""

from __future__ import annotations

import subprocess
import sys
from importlib.metadata import entry_points
from pathlib import Path

import pytest

from ad_seller.storage import ConfigurationError
from ad_seller.storage.testing import runner
from ad_seller.storage.testing.levels import Level
from tests import warm
from tests.cli.support import fill
from tests.docs_samples import ROOT

HERE = "tests.testing.backends"
STRICT = "[pytest]\naddopts = -ra --strict-markers\nfilterwarnings = error\n"
OWN_TEST = "import sys\ndef test_own(): assert 'ad_seller.storage' not in sys.modules\n"


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A project with a strict configuration and a test of its own."""
    for name in ("PYTEST_ADDOPTS", "PYTEST_PLUGINS", "PYTEST_DISABLE_PLUGIN_AUTOLOAD", "PYTEST_XDIST_WORKER"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    folder = tmp_path / "project"
    folder.mkdir()
    (folder / "pytest.ini").write_text(STRICT)
    (folder / "test_own.py").write_text(OWN_TEST)
    return folder


PYTEST = [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", "-q"]


def pytest_in(project: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    # What was imported before the fork cannot be rewritten any more.
    command = [*PYTEST, "-W", "ignore::pytest.PytestAssertRewriteWarning", *arguments]
    return warm.run(command, cwd=project, text=True, timeout=110)


class TestPlugin:
    def test_is_an_entry_point(self) -> None:
        [point] = entry_points(group="pytest11", name="ad_seller_storage")
        assert point.value == "ad_seller_storage_pytest"

    def test_without_its_option_it_does_nothing(self, project: Path) -> None:
        done = subprocess.run(PYTEST, cwd=project, capture_output=True, text=True, timeout=110)
        assert (done.returncode, done.stdout.splitlines()[-1][:8]) == (0, "1 passed")

    def test_runs_the_checks_of_a_backend_and_nothing_else(self, project: Path) -> None:
        done = pytest_in(project, f"--storage-backend={HERE}:in_folder", "--storage-level=core")
        assert done.returncode == 0, done.stdout
        assert "17 passed" in done.stdout

    def test_other_files_are_run_if_they_are_named(self, project: Path) -> None:
        (project / "test_own.py").write_text("def test_missing_things(): pass\n")
        done = pytest_in(project, "--storage-backend", f"{HERE}:plain", "test_own.py", "-k", "missing")
        assert done.returncode == 0, done.stdout
        assert "3 passed" in done.stdout, "its own, missing_entry, null_is_a_value_and_not_a_missing_entry"

    def test_a_module_beside_the_tests_is_found_by_pytest_alone(self, project: Path) -> None:
        (project / "own_backend.py").write_text(
            "from ad_seller.storage.memory_backend import MemoryBackend as Own\n"
        )
        command = [str(Path(sys.executable).with_name("pytest")), "-p", "no:cacheprovider", "-q"]
        command += ["--storage-backend=own_backend:Own", "--storage-check=missing_entry"]
        done = subprocess.run(command, cwd=project, capture_output=True, text=True, timeout=110)
        assert "1 passed" in done.stdout, done.stdout + done.stderr

    def test_storm_is_as_large_as_told(self, project: Path) -> None:
        checks = ["--storage-check=storm_of_cancellations", "--storage-storm=300", "--durations=1"]
        done = pytest_in(project, f"--storage-backend={HERE}:plain", *checks)
        assert "3 passed" in done.stdout, done.stdout

    def test_a_store_with_entries_is_refused(self, project: Path) -> None:
        url = f"sqlite:///{project}/store.db"
        fill(url, {"deal:1": {}})
        done = pytest_in(project, f"--storage-backend={url}")
        assert done.returncode == pytest.ExitCode.USAGE_ERROR
        assert "not empty" in done.stderr
        assert "Traceback" not in done.stderr

    def test_several_workers(self, project: Path) -> None:
        own = pytest_in(project, f"--storage-backend={HERE}:in_folder", "--storage-check=missing_entry", "-n2")
        assert own.returncode == 0, own.stdout
        url, once = f"sqlite:///{project}/store.db", "--max-worker-restart=0"
        common = pytest_in(project, f"--storage-backend={url}", "--storage-check=missing_entry", "-n1", once)
        assert common.returncode != 0
        assert "cannot share a store" in common.stdout + common.stderr


class TestRun:
    """`runner.run`, which the command and tests of others use."""

    def test_no_configuration_of_the_user_counts(self, project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        (project / "conftest.py").write_text("raise RuntimeError('not for the kit')\n")
        (project / "pytest.ini").write_text("[pytest]\naddopts = --no-such-option\n")
        monkeypatch.setenv("PYTEST_ADDOPTS", "--no-such-option-either")
        monkeypatch.chdir(project)
        report = runner.run("memory://", checks=["missing_entry"])
        assert report.passed
        assert sorted(path.name for path in project.iterdir()) == ["conftest.py", "pytest.ini", "test_own.py"]

    def test_tells_how_far_it_is(self) -> None:
        seen: list[tuple[int, int]] = []
        report = runner.run(
            f"{HERE}:plain",
            levels=[Level.CORE],
            checks=["key_is_literal", "missing_entry"],
            on_check=lambda report: seen.append((len(report.checks), report.planned)),
        )
        assert report.passed
        assert seen == [(n, report.planned) for n in range(1, report.planned + 1)]
        assert {check.level for check in report.checks} == {Level.CORE}

    def test_nothing_to_do_is_an_error(self) -> None:
        with pytest.raises(ConfigurationError, match="No check has such a name"):
            runner.run("memory://", levels=[Level.LOAD], checks=["missing_entry"])

    def test_reuses_no_store_of_another_run(self, tmp_path: Path) -> None:
        url = f"sqlite:///{tmp_path}/store.db"
        for _ in range(2):
            assert runner.run(url, checks=["a_thousand_at_once", "null_is_a_value_and_not_a_missing_entry"]).passed
