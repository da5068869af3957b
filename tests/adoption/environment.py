"""A fresh environment, as somebody has it who moves an agent: this package as a wheel, the agent beside it."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

ROOT = Path(__file__).parents[2]
PINS = ROOT / "requirements" / "adoption.txt"
EXTRAS = "[redis,postgres,cli]"

#: What of our own environment an agent must not see.
_HIDDEN = ("STORAGE_TYPE", "DATABASE_URL", "REDIS_URL", "PYTHONPATH", "VIRTUAL_ENV")


class FailedError(Exception):
    """A step of the adoption did not do what it should; the message says which."""


def run(command: list[str], *, cwd: Path, env: Mapping[str, str] | None = None, timeout: float = 300) -> str:
    """Run a command to its end and return what it wrote to standard output."""
    clean = {name: value for name, value in os.environ.items() if name.upper() not in _HIDDEN}
    clean |= env or {}
    try:
        done = subprocess.run(
            command, cwd=cwd, env=clean, capture_output=True, text=True, timeout=timeout, check=False
        )
    except subprocess.TimeoutExpired:
        raise FailedError(f"{' '.join(command)} did not end within {timeout:.0f} s") from None
    if done.returncode:
        raise FailedError(f"{' '.join(command)} ended with {done.returncode}:\n{done.stdout}{done.stderr}"[-6000:])
    return done.stdout


def build_wheel(project: Path, folder: Path) -> Path:
    """Build the wheel of a project with what this environment has, without network."""
    folder.mkdir(parents=True, exist_ok=True)
    run([sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(folder)], cwd=project)
    return max(folder.glob("*.whl"), key=lambda path: path.stat().st_mtime_ns)


class Environment:
    """A virtual environment in a folder of its own."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        run([sys.executable, "-m", "venv", str(folder)], cwd=folder.parent)

    @property
    def python(self) -> str:
        return str(self.folder / "bin" / "python")

    def pip(self, *arguments: str) -> str:
        command = [self.python, "-m", "pip", *arguments]
        return run(command, cwd=self.folder, timeout=1_800)  # a real agent's 130 packages, on a busy machine

    def install(self, *what: str, alone: bool = False) -> None:
        """Install; alone: nothing but this, over what is there."""
        how = ["--no-deps", "--force-reinstall", "--no-build-isolation"] if alone else []
        self.pip("install", "--quiet", "--disable-pip-version-check", *how, *what)

    def command(self, *arguments: str, cwd: Path, env: Mapping[str, str] | None = None) -> str:
        """Run ``ad-seller-storage``."""
        return run([str(self.folder / "bin" / "ad-seller-storage"), *arguments], cwd=cwd, env=env)
