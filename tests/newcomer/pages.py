"""The commands that pages tell a reader to type."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

_PART = re.compile(
    r"(?:^<!-- not run: (?P<reason>[^\n]+) -->\n)?^```sh\n(?P<commands>.*?)^```$"
    r"|^<!-- file: (?P<file>examples/\S+\.py) -->$",
    re.MULTILINE | re.DOTALL,
)
_SAVED = re.compile(r"^<!-- save as: (\S+) -->\n```\w*\n(.*?)^```$", re.MULTILINE | re.DOTALL)
_REPORT = re.compile(r"^<!-- report: ([^\n]+) -->\n```text\n(.*?)\n```$", re.MULTILINE | re.DOTALL)
_EXIT = re.compile(r"\s+# exit (\d+(?: or \d+)*).*$")


class Command(NamedTuple):
    """One line for the shell.

    Attributes:
        text: what is typed.
        exit_codes: what it may end with; the page says so where it is not 0.
        reason: why it is not run, or "".
        report: what it prints, if the page shows that, or "".
    """

    text: str
    exit_codes: frozenset[int]
    reason: str = ""
    report: str = ""


def commands(page: Path) -> Iterator[Command]:
    """Yield the commands of a page in their order; a sample that is shown is a command that runs it."""
    text = page.read_text()
    reports = dict(_REPORT.findall(text))
    for found in _PART.finditer(text):
        if found["file"]:
            yield Command(f"python {found['file']}", frozenset({0}))
            continue
        for line in found["commands"].strip().splitlines():
            said = _EXIT.search(line)
            codes = frozenset(map(int, said[1].split(" or "))) if said else frozenset({0})
            command = _EXIT.sub("", line)
            yield Command(command, codes, found["reason"] or "", reports.get(command, ""))


def files(page: Path) -> dict[str, str]:
    """Return the files that a page shows and its commands name: ``<!-- save as: rules.toml -->`` and a block."""
    return dict(_SAVED.findall(page.read_text()))
