"""Does what the pages tell a newcomer to do: `make newcomer`.

A fresh clone of what is committed, a fresh environment in which nothing was installed, and every command of the
pages in their order, with real servers where a page names one. Each page has a reader of its own, and several read
at once. One that says `pip install` has an environment of its own as well, in which only that is installed; all
others have what the README installs. What is not run, and why, is told.
"""

from __future__ import annotations

import argparse
import os
import re
import subprocess
import sys
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from tempfile import TemporaryDirectory

from rich.console import Console

from tests.docs_samples import ROOT
from tests.newcomer.pages import commands
from tests.newcomer.reader import A_STORE, SETTING, Ended, environment, new_environment, reader_of, shell

README = "README.md"
#: Those that take longest come first; the others come in the order of the menu.
FIRST = (README, "docs/custom-backend.md", "docs/cli.md")

console = Console(highlight=False, markup=False, soft_wrap=True)


def pages_of(clone: Path) -> list[str]:
    """Return every page that has a command."""
    menu = re.findall(r": ([a-z/-]+\.md)$", (clone / "mkdocs.yml").read_text(), re.MULTILINE)
    names = dict.fromkeys([*FIRST, *(f"docs/{name}" for name in menu)])
    return [name for name in names if any(commands(clone / name))]


class Round:
    """One round through the pages.

    Args:
        folder: an empty one, for everything.
    """

    def __init__(self, folder: Path) -> None:
        """Clone what is committed, and install it as the README says first."""
        self._folder = folder
        self._source, self._venv = folder / "source", folder / "venv"
        subprocess.run(["git", "clone", "-q", "--no-hardlinks", str(ROOT), str(self._source)], check=True)
        new_environment(self._venv)
        self.pages = pages_of(self._source)
        self.install = next(commands(self._source / README)).text

    def begin(self) -> tuple[int, str]:
        """Do what everybody does first."""
        return shell(self.install, self._source, environment(self._folder, self._venv))

    def follow(self, page: str) -> list[Ended]:
        """Type the commands of a page."""
        steps = list(commands(self._source / page))
        installs = any(step.text.startswith("pip install") and not step.reason for step in steps)
        with TemporaryDirectory(prefix="newcomer-", dir=self._folder) as name:
            folder = Path(name)
            venv = new_environment(folder / "venv") if installs else self._venv
            with reader_of(page, self.pages, self._source, folder, venv) as reader:
                if page != README:
                    self._make_a_store(reader.clone, "sqlite:///./ad_seller.db")
                if any(SETTING in step.text for step in steps):
                    self._make_a_store(reader.clone, reader.names[SETTING])
                return [reader.type(step) for step in steps]

    def _make_a_store(self, clone: Path, url: str) -> None:
        code, output = shell(f"{A_STORE} {url}", clone, environment(self._folder, self._venv))
        if code:
            raise SystemExit(f"{A_STORE} failed:\n{output}")


def told(page: str, ended: Sequence[Ended]) -> int:
    """Print what became of a page; return how many commands did not end as it says."""
    console.rule(page)
    for each in ended:
        if each.command.reason:
            console.print(f"not run: {each.command.text} ({each.command.reason})")
            continue
        console.print(f"{each.seconds:6.1f} s  {each.command.text}")
        if not each.is_right:
            wanted = " or ".join(map(str, sorted(each.command.exit_codes)))
            why = "what it prints is not what is shown" if each.code in each.command.exit_codes else f"not {wanted}"
            console.print(f"failed: it ended with {each.code}, {why}:\n{each.output}", style="red")
    return sum(not each.is_right for each in ended)


def main(wanted: Sequence[str], at_once: int) -> int:
    """Follow the pages, and return the exit code."""
    began = time.monotonic()
    with TemporaryDirectory(prefix="newcomer-") as name, ThreadPoolExecutor(at_once) as pool:
        everything = Round(Path(name))
        code, output = everything.begin()
        if code:
            console.print(f"{everything.install} ended with {code}:\n{output}", style="red")
            return 1
        failed = ran = left = 0
        pages = wanted or everything.pages
        for page, ended in zip(pages, pool.map(everything.follow, pages), strict=True):
            failed += told(page, ended)
            left += sum(bool(each.command.reason) for each in ended)
            ran += sum(not each.command.reason for each in ended)
    seconds = time.monotonic() - began
    console.print(
        f"{ran - failed} passed, {failed} failed, {left} not run, on {len(pages)} pages in {seconds:.0f} s"
    )
    return 1 if failed else 0


if __name__ == "__main__":
    parser = argparse.ArgumentParser(prog="make newcomer")
    parser.add_argument("page", nargs="*", help="only these pages, e.g. docs/cli.md")
    parser.add_argument("--at-once", type=int, default=(os.cpu_count() or 1) + 1, help="how many read at once")
    options = parser.parse_args()
    sys.exit(main(options.page, options.at_once))
