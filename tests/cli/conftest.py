"""An empty directory, an environment without settings, and a new SQLite file for each test."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from ad_seller.storage.cli.app import app

Invoke = Callable[..., Result]


@pytest.fixture(autouse=True)
def directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Nothing around the test decides which store it uses, or whether there are colours."""
    for name in ("STORAGE_TYPE", "DATABASE_URL", "REDIS_URL", "NO_COLOR", "FORCE_COLOR"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def url(directory: Path) -> str:
    """A SQLite file that does not exist yet."""
    return f"sqlite:///{directory}/store.db"


@pytest.fixture
def invoke(url: str) -> Invoke:
    """Run a command on that file, inside the test."""

    def run(*arguments: str, stdin: str | None = None) -> Result:
        return CliRunner().invoke(app, ["--url", url, *arguments], input=stdin)

    return run
