"""`adopt --apply` and `--undo`: what they write, byte for byte, all or nothing."""

from __future__ import annotations

import re
import shutil
import sys
import tempfile
import tomllib
from pathlib import Path

import pytest

from ad_seller.storage.cli.adopt import writing
from tests import warm
from tests.adoption.conftest import Adopt, as_json, assert_refused, commit, git
from tests.adoption.environment import ROOT
from tests.adoption.stage import AGENT
from tests.adoption.stand_in import snapshot

REPLACED = {
    "__init__.py",
    "base.py",
    "factory.py",
    "hybrid_backend.py",
    "postgres_backend.py",
    "redis_backend.py",
    "sqlite_backend.py",
}


def test_looking_changes_nothing(agent: Path, adopt: Adopt) -> None:
    before = snapshot(agent)
    answer = as_json(adopt("--json"))
    assert snapshot(agent) == before
    replaced = {Path(each["file"]).name for each in answer["files"] if each["verdict"] == "replaced"}
    assert replaced == REPLACED
    assert {Path(each["file"]).name for each in answer["files"]} - replaced == {"quote_book.py", "trust_log.py"}


def test_applied_and_taken_back_byte_for_byte(agent: Path, adopt: Adopt) -> None:
    # A file whose line ends, mode and missing last newline must survive the way there and back.
    init = agent / "src" / "ad_seller" / "__init__.py"
    init.write_bytes(b'"""An agent."""\r\nfrom ad_seller import _quiet\r\n\r\n__version__ = "1"')
    init.chmod(0o755)
    commit(agent)
    before = snapshot(agent)
    assert adopt("--apply").exit_code == 0
    storage = agent / "src" / "ad_seller" / "storage"
    assert {path.name for path in storage.glob("*.py")} == {"quote_book.py", "trust_log.py"}
    joined = init.read_bytes()
    assert joined.startswith(
        b'"""An agent."""\r\n\r\n__path__ = __import__("pkgutil").extend_path(__path__, __name__)\r\n'
    )
    assert joined.endswith(b'from ad_seller import _quiet\r\n\r\n__version__ = "1"')
    assert init.stat().st_mode & 0o777 == 0o755
    assert adopt("--undo").exit_code == 0
    assert snapshot(agent) == before


def test_the_dependency_has_the_extras_of_the_settings(agent: Path, adopt: Adopt) -> None:
    adopt("--apply")
    first, *others = tomllib.loads((agent / "pyproject.toml").read_text())["project"]["dependencies"]
    assert re.fullmatch(r"ad-seller-storage\[postgres,redis\]>=[\d.]+", first)
    assert others == ["aiosqlite>=0.20", "fastapi", "uvicorn"]
    assert (agent / "requirements.txt").read_text().splitlines()[2] == first


def test_a_requirement_of_ones_own(agent: Path, adopt: Adopt) -> None:
    adopt("--apply", "--requirement", "ad-seller-storage @ file:///wheels/it.whl")
    dependencies = tomllib.loads((agent / "pyproject.toml").read_text())["project"]["dependencies"]
    assert dependencies[0] == "ad-seller-storage @ file:///wheels/it.whl"


def test_a_requirement_that_would_be_passed_over(agent: Path, adopt: Adopt) -> None:
    """What stands in a file already is no place for another one: that is said, and nothing is written."""
    adopt("--apply")
    before = {path: path.read_bytes() for path in agent.rglob("*.t*")}
    refused = adopt("--apply", "--requirement", "ad-seller-storage @ file:///wheels/it.whl")
    assert_refused(refused, "pyproject.toml demands this package already", "--undo")
    assert_refused(adopt("--requirement", "requests"), "'requests' is no requirement")
    assert_refused(adopt("--requirement", "ad-seller-storage\nrequests"), "is no requirement")
    assert {path: path.read_bytes() for path in agent.rglob("*.t*")} == before
    adopt("--undo")
    assert adopt("--apply", "--requirement", "ad-seller-storage @ file:///wheels/it.whl").exit_code == 0


def test_adopted_already(agent: Path, adopt: Adopt) -> None:
    adopt("--apply")
    (agent / writing.UNDO).unlink()
    commit(agent)
    before = snapshot(agent)
    answer = as_json(adopt("--apply", "--json"))
    assert answer["changes"] == []
    assert "adopted already" in answer["next"]
    assert snapshot(agent) == before
    assert_refused(adopt("--undo"), "nothing to take back")


def test_changes_after_the_move_are_not_lost(agent: Path, adopt: Adopt) -> None:
    adopt("--apply")
    pyproject = agent / "pyproject.toml"
    pyproject.write_text(pyproject.read_text() + "\n# mine\n")
    moved = snapshot(agent)
    assert_refused(adopt("--undo"), "pyproject.toml", "--dirty")
    assert snapshot(agent) == moved
    assert adopt("--undo", "--dirty").exit_code == 0
    assert "# mine" not in pyproject.read_text()


def test_uncommitted_changes_stop_it(agent: Path, adopt: Adopt) -> None:
    path = agent / "src" / "ad_seller" / "storage" / "base.py"
    path.write_text(path.read_text() + "\n# mine\n")
    before = snapshot(agent)
    assert_refused(adopt("--apply"), "base.py", "--dirty")
    assert snapshot(agent) == before
    assert adopt("--apply", "--dirty").exit_code == 0
    assert adopt("--undo").exit_code == 0
    assert snapshot(agent) == before


def test_files_that_git_does_not_know_stop_it(agent: Path, adopt: Adopt) -> None:
    git(agent, "rm", "--cached", "-q", "src/ad_seller/storage/factory.py")
    git(agent, "commit", "-q", "-m", "Forgotten")
    assert_refused(adopt("--apply"), "factory.py")


def test_a_checkout_without_git(agent: Path, adopt: Adopt) -> None:
    shutil.rmtree(agent / ".git")
    before = snapshot(agent)
    assert adopt("--apply").exit_code == 0
    assert adopt("--undo").exit_code == 0
    assert snapshot(agent) == before


def test_git_that_cannot_tell(agent: Path, adopt: Adopt) -> None:
    (agent / ".git" / "HEAD").write_text("nonsense")
    assert_refused(adopt("--apply"), "git cannot tell", "--dirty")


#: Runs the command as a user whom permissions stop; root is stopped by none.
AS_NOBODY = """
import sys
from typer.testing import CliRunner
from ad_seller.storage.cli.app import app, start
from tests.processes import become_nobody
CliRunner().invoke(app, ["adopt", sys.argv[1], "--no-data"])  # imports what is imported late
become_nobody()
start(["adopt", sys.argv[1], "--apply", "--dirty", "--no-data"])
"""


@pytest.mark.parametrize("folder", [".", "src/ad_seller", "src/ad_seller/storage"])
def test_a_read_only_checkout(folder: str) -> None:
    with tempfile.TemporaryDirectory() as place:  # not below the folder of pytest, which only its owner may enter
        agent = Path(place) / "agent"
        shutil.copytree(AGENT, agent, ignore=shutil.ignore_patterns("__pycache__"))
        Path(place).chmod(0o755)
        for path in [agent, *agent.rglob("*")]:
            path.chmod(0o777 if path.is_dir() else 0o666)
        (agent / folder).chmod(0o555)
        before = snapshot(agent)
        command = [sys.executable, "-c", AS_NOBODY, str(agent)]
        done = warm.run(command, cwd=ROOT, text=True, timeout=60)
        assert done.returncode == 4, done.stderr
        assert "cannot be changed" in done.stderr
        assert "Permission denied" in done.stderr
        assert "\nhint: " in done.stderr
        assert snapshot(agent) == before


def test_what_fails_half_way_is_put_back(agent: Path, adopt: Adopt, monkeypatch: pytest.MonkeyPatch) -> None:
    before = snapshot(agent)
    replace = Path.replace

    def fail(self: Path, target: Path) -> Path:
        if Path(target).name == "pyproject.toml":
            raise OSError(28, "No space left on device")
        return replace(self, target)

    monkeypatch.setattr(Path, "replace", fail)
    assert_refused(adopt("--apply"), "No space left on device")
    assert snapshot(agent) == before


def test_killed_half_way_and_taken_back(agent: Path, adopt: Adopt) -> None:
    before = snapshot(agent)
    script = (
        "import os, sys, pathlib\n"
        "replace = pathlib.Path.replace\n"
        "def die(self, target):\n"
        "    if pathlib.Path(target).name == 'pyproject.toml': os._exit(9)\n"
        "    return replace(self, target)\n"
        "pathlib.Path.replace = die\n"
        "from ad_seller.storage.cli import main\n"
        "main(['adopt', sys.argv[1], '--apply', '--no-data'])\n"
    )
    done = warm.run([sys.executable, "-c", script, str(agent)], timeout=60)
    assert done.returncode == 9
    assert not (agent / "src" / "ad_seller" / "storage" / "base.py").exists()
    assert_refused(adopt("--apply"), "interrupted", "--undo")
    assert adopt("--undo").exit_code == 0
    assert snapshot(agent) == before


def test_an_undo_file_that_was_changed(agent: Path, adopt: Adopt) -> None:
    adopt("--apply")
    path = agent / writing.UNDO
    path.write_text(
        path.read_text().replace('"name": "src/ad_seller/storage/base.py"', '"name": "../../etc/base.py"')
    )
    assert_refused(adopt("--undo"), "cannot be used", "git")


def test_apply_and_undo_together(adopt: Adopt) -> None:
    assert_refused(adopt("--apply", "--undo"), "exclude")
