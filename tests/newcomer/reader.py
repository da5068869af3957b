"""Somebody who reads one page: a home, a clone, servers where the page names some, and a shell."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from ad_seller.storage.testing.postgres_binaries import find_postgres
from ad_seller.storage.testing.postgres_server import PostgresServer
from ad_seller.storage.testing.servers import RedisServer
from tests import scratch
from tests.adoption.stage import AGENT
from tests.newcomer.pages import Command, files
from tests.postgres.support import run_sql

#: What a reader of any page but the README has, with a URL: an agent's store.
A_STORE = "python tests/newcomer/agents_store.py"
SETTING = '"$DATABASE_URL"'  #: where a page has this, there is another one in PostgreSQL

#: Environments that would tell the commands another store than the pages do, or another target of make.
_OURS = (
    "STORAGE_",
    "DATABASE_",
    "REDIS_",
    "POSTGRES_",
    "AD_SELLER_",
    "PYTHONPATH",
    "VIRTUAL_ENV",
    "PG",
    "MAKE",
    "ARGS",
)
_DATABASES = ("scratch", "empty_database", "seller", "live")
_LIMIT = 600  #: seconds for one command


@dataclass(frozen=True, slots=True)
class Ended:
    """What became of a command.

    Attributes:
        command: as the page has it.
        seconds: how long it took.
        code: what it ended with.
        output: what it printed, standard error too.
    """

    command: Command
    seconds: float
    code: int
    output: str

    @property
    def is_right(self) -> bool:
        """Whether it ended as the page says, and printed what that shows; one that is not run does."""
        return bool(self.command.reason) or (self.code in self.command.exit_codes and self.is_as_shown)

    @property
    def is_as_shown(self) -> bool:
        """Whether it printed the report that the page shows, if it shows one."""
        printed = "\n".join(line.rstrip() for line in self.output.rstrip().splitlines())
        return self.command.report in ("", printed)


@dataclass(frozen=True, slots=True)
class Reader:
    """A reader of one page.

    Attributes:
        clone: where commands are typed.
        env: the environment of the shell.
        names: what stands for the names of servers and folders in the page.
    """

    clone: Path
    env: Mapping[str, str]
    names: Mapping[str, str]

    def type(self, command: Command) -> Ended:
        """Run a command as somebody types it."""
        if command.reason:
            return Ended(command, 0.0, 0, "")
        text = command.text
        for shown, real in self.names.items():
            text = text.replace(shown, real)
        began = time.monotonic()
        folder = _project(self.clone) if "my_package" in text else self.clone
        code, output = shell(text, folder, self.env)
        return Ended(command, time.monotonic() - began, code, output)


def shell(text: str, folder: Path, env: Mapping[str, str]) -> tuple[int, str]:
    """Run a line in a shell that stays until it has ended; return its exit code and what it printed."""
    done = subprocess.run(
        ["bash", "-c", f"{text}\nexit $?"],  # of one command bash would become that command
        cwd=folder,
        env=dict(env),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=_LIMIT,
        check=False,
    )
    return done.returncode, done.stdout


def new_environment(venv: Path) -> Path:
    """Make an environment in which nothing is installed."""
    subprocess.run([sys.executable, "-m", "venv", str(venv)], check=True)
    return venv


def environment(home: Path, venv: Path) -> dict[str, str]:
    """Return the environment of a newcomer's shell."""
    real = Path.home()
    kept = {name: value for name, value in os.environ.items() if not name.startswith(_OURS)}
    path = os.pathsep.join([str(venv / "bin"), str(find_postgres().folder), kept["PATH"]])
    # Where packages come from, and what pip has kept of them, is the machine's matter.
    places = {"XDG_CONFIG_HOME": str(real / ".config"), "XDG_CACHE_HOME": str(real / ".cache")}
    if scratch.in_memory():  # the backend of a page makes a file durable for each entry
        places["TMPDIR"] = str(scratch.MEMORY)
    # Most of what is installed is never imported: --no-compile. pip reads the variable the other way round.
    return places | kept | {"HOME": str(home), "PATH": path, "NO_COLOR": "1", "PIP_NO_COMPILE": "0"}


@contextmanager
def reader_of(page: str, pages: Sequence[str], source: Path, folder: Path, venv: Path) -> Iterator[Reader]:
    """Yield a reader of a page; its servers run meanwhile.

    Args:
        page: its name.
        pages: all pages whose files a reader has saved.
        source: the clone that is cloned.
        folder: a new one.
        venv: what the reader has installed.
    """
    home, clone = folder / "home", folder / "clone"
    home.mkdir()
    subprocess.run(["git", "clone", "-q", str(source), str(clone)], check=True)
    _agent(home / "seller-agent")
    env = environment(home, venv)
    for each in pages:
        for saved, text in files(clone / each).items():
            (clone / saved).write_text(text)
    with ExitStack() as stack:
        yield Reader(clone, env, dict(_names((clone / page).read_text(), folder, env, stack)))


def _names(text: str, folder: Path, env: dict[str, str], stack: ExitStack) -> Iterator[tuple[str, str]]:
    """Start the servers that a page names; yield how it names each, and its URL."""
    backups = folder / "backups"
    backups.mkdir()
    yield "/backups/", f"{backups}/"
    if "redis://" in text:
        url = stack.enter_context(RedisServer(folder / "redis")).url.removesuffix("0")
        yield "redis://localhost:6379/", url
        yield "redis://cache:6379/", url
    if "postgresql://" in text:
        server = stack.enter_context(PostgresServer())
        for name in _DATABASES:
            run_sql(server.url(), f"CREATE DATABASE {name}")
        url = server.url("")
        yield "postgresql://localhost/", url
        yield "postgresql://db/", url
        yield SETTING, f"{url}live"
        address = urlsplit(url)
        env |= {
            "PGHOST": str(address.hostname),
            "PGPORT": str(address.port),
            "PGUSER": str(address.username),
        }


def _agent(checkout: Path) -> None:
    """Make the checkout of an agent that has a storage of its own."""
    shutil.copytree(AGENT, checkout, ignore=shutil.ignore_patterns("__pycache__"))
    git = ["git", "-C", str(checkout), "-c", "user.name=x", "-c", "user.email=x@localhost"]
    for command in (["init", "-q"], ["add", "-A"], ["commit", "-q", "-m", "The agent"]):
        subprocess.run([*git, *command], check=True)


def _project(clone: Path) -> Path:
    """Make a project of the newcomer's own beside the clone, with the backend of the page."""
    folder = clone.parent / "project"
    (folder / "my_package").mkdir(parents=True, exist_ok=True)
    shutil.copy(clone / "examples" / "custom_backend.py", folder / "my_package" / "directory.py")
    return folder
