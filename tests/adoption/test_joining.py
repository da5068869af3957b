"""Modules of the agent's own storage folder beside ours, however both are installed, in any order."""

from __future__ import annotations

import itertools
import json
import shutil
import subprocess
import sys
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from ad_seller.storage.cli.app import app
from tests.adoption.environment import ROOT, build_wheel
from tests.adoption.stage import AGENT

#: Imports with a search path of one's own: the standard library and our dependencies, but not this checkout.
PROGRAM = """
import json, logging, sys
lines = []
class Keep(logging.Handler):
    def emit(self, record):
        lines.append(record.getMessage())
logging.getLogger("ad_seller.storage").addHandler(Keep())
sys.path[:] = json.loads(sys.argv[2]) + [path for path in sys.path if path != sys.argv[1]]
import ad_seller
import ad_seller.storage as storage
from ad_seller.storage import sqlite_backend, quote_book, trust_log
from ad_seller.storage.base import StorageBackend
assert quote_book.StorageBackend is storage.StorageBackend is StorageBackend
files = {module.__name__: module.__file__ for module in (storage, sqlite_backend, quote_book, trust_log)}
print(json.dumps({"version": ad_seller.__version__, "files": files, "lines": lines}))
"""


@pytest.fixture(scope="module")
def ours(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build_wheel(ROOT, tmp_path_factory.mktemp("ours"))


@pytest.fixture(scope="module")
def adopted(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An adopted checkout."""
    return checkout(tmp_path_factory.mktemp("adopted"), adopt=True)


@pytest.fixture(scope="module")
def adopted_wheel(adopted: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build_wheel(adopted, tmp_path_factory.mktemp("wheel"))


def checkout(folder: Path, *, adopt: bool) -> Path:
    shutil.copytree(AGENT, folder / "agent", ignore=shutil.ignore_patterns("__pycache__"))
    if adopt:
        done = CliRunner().invoke(app, ["adopt", str(folder / "agent"), "--apply", "--no-data"])
        assert done.exit_code == 0, done.output
    return folder / "agent"


def install(wheel: Path, site: Path) -> str:
    """Do what installing a wheel does: its files go into the folder of installed packages."""
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(site)
    return str(site)


def imported(places: list[str]) -> dict[str, Any]:
    command = [sys.executable, "-I", "-c", PROGRAM, str(ROOT / "src"), json.dumps(places)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    answer: dict[str, Any] = json.loads(done.stdout)
    return answer


@pytest.mark.parametrize("agent_first", [True, False])
@pytest.mark.parametrize(
    ("agent_as", "ours_as"), list(itertools.product(["folder", "wheel"], ["wheel", "checkout"]))
)
def test_both_are_found(
    tmp_path: Path,
    ours: Path,
    adopted: Path,
    adopted_wheel: Path,
    agent_as: str,
    ours_as: str,
    *,
    agent_first: bool,
) -> None:
    site = tmp_path / "site-packages"
    agents = str(adopted / "src") if agent_as == "folder" else None
    mine = str(ROOT / "src") if ours_as == "checkout" else None
    wheels = [wheel for wheel, place in ((adopted_wheel, agents), (ours, mine)) if place is None]
    for wheel in wheels if agent_first else reversed(wheels):
        install(wheel, site)
    places = [agents or str(site), mine or str(site)]
    answer = imported(list(dict.fromkeys(places if agent_first else reversed(places))))
    assert answer["version"] == "1.4.0"
    files: Mapping[str, str] = answer["files"]
    assert files["ad_seller.storage.quote_book"].startswith(agents or str(site))
    assert files["ad_seller.storage.sqlite_backend"].startswith(mine or str(site))
    assert answer["lines"] == []


def test_files_that_are_not_used_are_named(tmp_path: Path, ours: Path) -> None:
    agent = checkout(tmp_path, adopt=True)
    shutil.copy(AGENT / "src" / "ad_seller" / "storage" / "base.py", agent / "src" / "ad_seller" / "storage")
    answer = imported([str(agent / "src"), install(ours, tmp_path / "site-packages")])
    (line,) = answer["lines"]
    assert "base" in line
    assert "adopt" in line


def test_two_owners_of_one_file_are_named(tmp_path: Path, ours: Path) -> None:
    site = tmp_path / "site-packages"
    install(build_wheel(checkout(tmp_path, adopt=False), tmp_path / "wheels"), site)
    install(ours, site)
    (site / "ad_seller" / "__init__.py").write_text('__version__ = "1.4.0"\n')
    (line,) = imported([str(site)])["lines"]
    assert "older_seller_agent" in line
    assert "adopt" in line


LAUNCH = "import sys; sys.path[:] = {path} + [p for p in sys.path if p != {checkout!r}]; "
LAUNCH += "sys.argv = ['ad-seller-storage', *sys.argv[1:]]; import ad_seller_storage_command as c; c.main()"


def launched(places: list[str], *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run the command as its script does."""
    program = LAUNCH.format(path=places, checkout=str(ROOT / "src"))
    return subprocess.run(
        [sys.executable, "-I", "-c", program, *arguments], capture_output=True, text=True, timeout=60
    )


def test_the_command_runs_beside_an_agent_that_was_not_adopted(tmp_path: Path, ours: Path) -> None:
    agent = checkout(tmp_path, adopt=False)
    done = launched(
        [str(agent / "src"), install(ours, tmp_path / "site-packages")], "adopt", str(agent), "--no-data"
    )
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    assert "Next: " in done.stdout


def test_modules_of_an_installed_agent_are_not_taken_for_ours(tmp_path: Path, ours: Path) -> None:
    agent = checkout(tmp_path, adopt=False)
    site = tmp_path / "site-packages"
    install(build_wheel(agent, tmp_path / "wheels"), site)
    done = launched([install(ours, site)], "--json", "adopt", str(agent), "--no-data")
    assert done.returncode == 0, done.stderr
    verdicts = {Path(each["file"]).name: each["verdict"] for each in json.loads(done.stdout)["files"]}
    assert verdicts["quote_book.py"] == verdicts["trust_log.py"] == "stays"


def test_the_command_says_that_it_was_overwritten(tmp_path: Path, ours: Path) -> None:
    site = tmp_path / "site-packages"
    install(ours, site)
    install(build_wheel(checkout(tmp_path, adopt=False), tmp_path / "wheels"), site)
    done = launched([str(site)], "--version")
    assert done.returncode == 1
    assert "Another distribution" in done.stderr
    assert "hint: " in done.stderr
