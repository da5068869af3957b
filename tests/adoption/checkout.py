"""Moving a checkout of a real agent: its own test suite before and after, and the way back."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

from tests.adoption.environment import EXTRAS, Environment, FailedError, run
from tests.adoption.stage import Say
from tests.adoption.stand_in import snapshot

_SUITE = ["-m", "pytest", "-q", "-rp", "-p", "no:cacheprovider", "--continue-on-collection-errors", "tests"]
_LIMIT = 3600  #: seconds for one run of the agent's suite
_LEFT_OUT = shutil.ignore_patterns(".venv", "venv", "__pycache__", "*.db")


def adopt_checkout(agent: Path, folder: Path, wheel: Path, python: Path | None, say: Say) -> None:
    """Copy the checkout, run its suite, adopt, run it again, take it back.

    Args:
        agent: the checkout, which is not touched.
        folder: for everything that is made.
        wheel: this package.
        python: the interpreter of an environment that has the agent's dependencies; None installs them.
        say: called with what was seen.

    Raises:
        FailedError: a test passes with the agent's own storage and not with this one; a byte is not put back.
    """
    checkout = folder / "agent"
    shutil.copytree(agent, checkout, symlinks=True, ignore=_LEFT_OUT)
    environment = Environment(folder / "venv")
    if python is None:
        environment.install("--no-compile", "-e", f"{checkout}[dev,redis,postgres]")  # most is never imported
    else:
        lend(python, environment)
        environment.install("hatchling", "editables", "setuptools")
        environment.install("-e", str(checkout), alone=True)
    say("the agent and its dependencies are there")
    files = tracked(checkout)
    before = suite(environment, checkout)
    say(f"{len(before)} of its tests pass with its own storage")
    environment.install(f"{wheel}{EXTRAS}")
    environment.install(str(wheel), alone=True)  # the environment that lends its packages may have it, too
    environment.command("adopt", str(checkout), "--apply", "--dirty", "--no-data", cwd=folder)
    say("this package is installed beside it, and the agent adopted")
    lost = sorted(before - suite(environment, checkout))
    if lost:
        raise FailedError(f"{len(lost)} of {len(before)} tests no longer pass: {', '.join(lost[:20])}")
    say("every one of them passes with this package")
    environment.command("adopt", str(checkout), "--undo", cwd=folder)
    if tracked(checkout) != files:
        raise FailedError("--undo did not put every byte back")
    say("every byte is back")


def tracked(checkout: Path) -> dict[str, tuple[bytes, int]]:
    """Return the files that git knows; a suite leaves others behind."""
    names = run(["git", "ls-files", "-z"], cwd=checkout).split("\0")
    everything = snapshot(checkout)
    return {name: everything[name] for name in (str(checkout / each) for each in names) if name in everything}


def lend(python: Path, environment: Environment) -> None:
    """Let an environment see the packages of another; what is installed in its own folder comes first."""
    where = "import sysconfig; print(sysconfig.get_path('purelib'))"
    packages = run([str(python), "-c", where], cwd=environment.folder).strip()
    own = run([environment.python, "-c", where], cwd=environment.folder).strip()
    Path(own, "lent.pth").write_text(f"{packages}\n")


def suite(environment: Environment, checkout: Path) -> set[str]:
    """Run the agent's suite and return the tests that passed."""
    command = [environment.python, *_SUITE]
    done = subprocess.run(command, cwd=checkout, capture_output=True, text=True, timeout=_LIMIT, check=False)
    passed = set(re.findall(r"^PASSED (\S+)", done.stdout, re.MULTILINE))
    if not passed:
        raise FailedError(f"No test of the agent passed:\n{done.stdout[-3000:]}{done.stderr[-3000:]}")
    return passed
