"""Does what the pages tell a newcomer to do: `make newcomer`.

A fresh clone of what is committed, a fresh environment in which nothing was installed, and every command of the
pages in their order, in the clone, with real servers where a page names one. What is not run, and why, is told.
"""

from __future__ import annotations

import argparse
import os
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

from rich.console import Console

from ad_seller.storage.testing.postgres_server import PostgresServer
from ad_seller.storage.testing.servers import RedisServer
from tests.adoption.stage import AGENT
from tests.docs_samples import ROOT
from tests.newcomer.pages import Command, commands, files
from tests.postgres.support import run_sql

README = "README.md"
INSTALL = "pip install '.[all]'"  #: as the README says it
A_STORE = "ad-seller-storage set order:ORD-1 '{}'"  #: what a reader of a later page has
#: Those that a newcomer reads first; the others come in the order of the menu.
FIRST = (README, "docs/getting-started.md", "docs/cli.md")

#: Environments that would tell the commands another store than the pages do.
_OURS = ("STORAGE_", "DATABASE_", "REDIS_", "POSTGRES_", "AD_SELLER_", "PYTHONPATH", "VIRTUAL_ENV", "PG")

console = Console()


@contextmanager
def servers(folder: Path) -> Iterator[dict[str, str]]:
    """Yield what the names of a page stand for, while new servers run: each page has a reader of its own."""
    with RedisServer(folder / "redis") as redis, PostgresServer() as postgres:
        databases = {name: postgres.url(name) for name in ("scratch", "empty_database", "seller")}
        for name in databases:
            run_sql(postgres.url(), f"CREATE DATABASE {name}")
        backups = folder / "backups"
        backups.mkdir()
        yield {
            "redis://localhost:6379/": redis.url.removesuffix("0"),
            "redis://cache:6379/": redis.url.removesuffix("0"),
            "postgresql://localhost/scratch": databases["scratch"],
            "postgresql://localhost/empty_database": databases["empty_database"],
            "postgresql://db/seller": databases["seller"],
            "/backups/": f"{backups}/",
            "~/seller-agent": str(agent(folder / "seller-agent")),
        }


def begin(page: str, clone: Path, env: dict[str, str]) -> None:
    """Leave in the clone what the reader of a page has: files that pages show and, after the README, a store."""
    subprocess.run(["git", "-C", str(clone), "clean", "-fdxq", "-e", ".venv"], check=True)
    for each in pages_of(clone):
        for saved, text in files(clone / each).items():
            (clone / saved).write_text(text)
    if page != README:
        run(A_STORE, clone, env)


def agent(checkout: Path) -> Path:
    """Make the checkout of an agent that has a storage of its own."""
    shutil.copytree(AGENT, checkout, ignore=shutil.ignore_patterns("__pycache__"))
    git = ["git", "-C", str(checkout), "-c", "user.name=x", "-c", "user.email=x@localhost"]
    for command in (["init", "-q"], ["add", "-A"], ["commit", "-q", "-m", "The agent"]):
        subprocess.run([*git, *command], check=True)
    return checkout


def project(clone: Path) -> Path:
    """Make a project of the newcomer's own beside the clone, with the backend of the page."""
    folder = clone.parent / "project"
    (folder / "my_package").mkdir(parents=True, exist_ok=True)
    shutil.copy(clone / "examples" / "custom_backend.py", folder / "my_package" / "directory.py")
    return folder


def environment(venv: Path) -> dict[str, str]:
    """Return the environment of a newcomer's shell."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(_OURS)}
    return kept | {"PATH": f"{venv / 'bin'}{os.pathsep}{kept['PATH']}", "NO_COLOR": "1"}


def run(command: str, folder: Path, env: dict[str, str]) -> tuple[int, str]:
    """Return how a command ended and what it printed."""
    done = subprocess.run(
        ["bash", "-c", command], cwd=folder, env=env, capture_output=True, text=True, timeout=900, check=False
    )
    return done.returncode, done.stdout + done.stderr


def pages_of(clone: Path) -> list[str]:
    """Return every page that has a command, those first that are read first."""
    menu = re.findall(r": ([a-z/-]+\.md)$", (clone / "mkdocs.yml").read_text(), re.MULTILINE)
    names = dict.fromkeys([*FIRST, *(f"docs/{name}" for name in menu)])
    return [name for name in names if any(commands(clone / name))]


def follow(page: Path, clone: Path, env: dict[str, str], urls: dict[str, str]) -> Iterator[tuple[Command, bool]]:
    """Run the commands of a page; yield each with whether it ended as the page says."""
    for command in commands(page):
        if command.reason:
            yield command, True
            continue
        text = command.text
        for shown, real in urls.items():
            text = text.replace(shown, real)
        began = time.monotonic()
        code, output = run(text, project(clone) if "my_package" in text else clone, env)
        console.print(f"  {command.text}  {time.monotonic() - began:.1f} s", highlight=False, markup=False)
        is_right = code in command.exit_codes
        if not is_right:
            console.print(
                f"ended with {code}, not {sorted(command.exit_codes)}:\n{output}", style="red", markup=False
            )
        yield command, is_right


def main(pages: Sequence[str]) -> int:
    """Follow the pages in a fresh clone; return the exit code."""
    with TemporaryDirectory(prefix="newcomer-") as name:
        clone, venv = Path(name) / "clone", Path(name) / "venv"
        subprocess.run(["git", "clone", "-q", "--no-hardlinks", str(ROOT), str(clone)], check=True)
        subprocess.run([sys.executable, "-m", "venv", str(venv)], check=True)
        env = environment(venv)
        if pages and README not in pages:
            run(INSTALL, clone, env)
        ended: list[tuple[Command, bool]] = []
        for page in pages or pages_of(clone):
            console.rule(page)
            begin(page, clone, env)
            with TemporaryDirectory(prefix="newcomer-") as place, servers(Path(place)) as urls:
                ended += follow(clone / page, clone, env, urls)
    left = [command for command, _ in ended if command.reason]
    failed = [command for command, is_right in ended if not is_right]
    for command in left:
        console.print(f"not run: {command.text} ({command.reason})", highlight=False, markup=False)
    for command in failed:
        console.print(f"failed: {command.text}", highlight=False, markup=False)
    console.print(f"{len(ended) - len(left) - len(failed)} passed, {len(failed)} failed, {len(left)} not run")
    return 1 if failed else 0


if __name__ == "__main__":
    parser = argparse.ArgumentParser(prog="make newcomer")
    parser.add_argument("page", nargs="*", help="only these pages, e.g. docs/cli.md")
    sys.exit(main(parser.parse_args().page))
