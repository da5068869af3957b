"""Moving a checkout of a real agent: its own test suite before, after, and after the way back."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

from tests.adoption.environment import Environment, FailedError, run
from tests.adoption.stage import Say
from tests.adoption.stand_in import snapshot

_SUITE = ["-m", "pytest", "-q", "-p", "no:cacheprovider", "tests"]
_LIMIT = 3600  #: seconds for one run of the agent's suite


def adopt_checkout(agent: Path, folder: Path, wheel: Path, install: list[str] | None, say: Say) -> None:
    """Copy the checkout, run its suite, adopt, run it again, take it back, run it a last time.

    Raises:
        FailedError: a test passes with the agent's own storage and not with this one; a byte is not put back.
    """
    checkout = folder / "agent"
    shutil.copytree(
        agent, checkout, symlinks=True, ignore=shutil.ignore_patterns(".venv", "venv", "__pycache__", "*.db")
    )
    if not (checkout / ".git").is_dir():
        raise FailedError(f"{agent} is no git checkout")
    run(["git", "stash", "--include-untracked"], cwd=checkout)
    environment = Environment(folder / "venv")
    environment.install(*(install or ["-e", f"{checkout}[dev,redis,postgres]"]))
    say("the agent and its dependencies are installed")
    files = snapshot(checkout)
    before = suite(environment, checkout)
    say(f"{len(before)} of its tests pass with its own storage")
    environment.install(f"{wheel}[redis,postgres,cli]")
    environment.command("adopt", str(checkout), "--apply", "--no-data", cwd=folder)
    say("this package is installed beside it, and adopted")
    lost = sorted(before - suite(environment, checkout))
    if lost:
        raise FailedError(f"{len(lost)} tests no longer pass: {', '.join(lost[:20])}")
    say("every one of them passes with this package")
    environment.command("adopt", str(checkout), "--undo", cwd=folder)
    if snapshot(checkout) != files:
        raise FailedError("--undo did not put every byte back")
    say("every byte is back")


def suite(environment: Environment, checkout: Path) -> set[str]:
    """Run the agent's suite and return the tests that passed."""
    command = [environment.python, *_SUITE, "-rp"]
    done = subprocess.run(command, cwd=checkout, capture_output=True, text=True, timeout=_LIMIT, check=False)
    passed = set(re.findall(r"^PASSED (\S+)", done.stdout, re.MULTILINE))
    if not passed:
        raise FailedError(f"No test of the agent passed:\n{done.stdout[-3000:]}{done.stderr[-3000:]}")
    return passed
