"""A copy of the stand-in for each test, in git as real checkouts are; the command, run inside the test."""

from __future__ import annotations

import json
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner, Result

from ad_seller.storage.cli.app import app
from tests.adoption.stage import AGENT

Adopt = Callable[..., Result]


@pytest.fixture(autouse=True)
def no_settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing around the test says where a store is, or whether there are colours."""
    for name in ("STORAGE_TYPE", "DATABASE_URL", "REDIS_URL", "FORCE_COLOR"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("NO_COLOR", "1")
    monkeypatch.chdir(tmp_path)


@pytest.fixture(scope="session")
def committed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A checkout without uncommitted changes, to be copied."""
    checkout = tmp_path_factory.mktemp("committed") / "agent"
    shutil.copytree(AGENT, checkout, ignore=shutil.ignore_patterns("__pycache__"))
    git(checkout, "init", "-q")
    commit(checkout)
    return checkout


@pytest.fixture
def agent(tmp_path: Path, committed: Path) -> Path:
    """A checkout without uncommitted changes."""
    return shutil.copytree(committed, tmp_path / "agent")


@pytest.fixture
def adopt(agent: Path) -> Adopt:
    """Run ``adopt`` on it."""

    def run(*options: str, directory: Path = agent) -> Result:
        return CliRunner().invoke(app, ["adopt", str(directory), *options])

    return run


def git(checkout: Path, *arguments: str) -> None:
    names = ["-c", "user.name=x", "-c", "user.email=x@localhost"]
    subprocess.run(["git", "-C", str(checkout), *names, *arguments], check=True, capture_output=True)


def commit(checkout: Path) -> None:
    git(checkout, "add", "-A")
    git(checkout, "commit", "-q", "-m", "A change")


def as_json(result: Result) -> dict[str, Any]:
    assert result.exit_code == 0, result.output
    answer: dict[str, Any] = json.loads(result.stdout)
    return answer


def assert_refused(result: Result, *words: str) -> None:
    """Check that the command ended with a message and the next step."""
    assert result.exit_code in (2, 4), result.output
    assert result.stderr.startswith("error: ")
    assert "\nhint: " in result.stderr
    for word in words:
        assert word in result.stderr
