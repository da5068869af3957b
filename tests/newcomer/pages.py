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
_EXIT = re.compile(r"\s+# exit (\d+).*$")


class Command(NamedTuple):
    """One line for the shell.

    Attributes:
        text: what is typed.
        exit_code: what it ends with; the page says so where it is not 0.
        reason: why it is not run, or "".
    """

    text: str
    exit_code: int
    reason: str


def commands(page: Path) -> Iterator[Command]:
    """Yield the commands of a page in their order; a sample that is shown is a command that runs it."""
    for found in _PART.finditer(page.read_text()):
        if found["file"]:
            yield Command(f"python {found['file']}", 0, "")
            continue
        for line in found["commands"].strip().splitlines():
            code = _EXIT.search(line)
            yield Command(_EXIT.sub("", line), int(code[1]) if code else 0, found["reason"] or "")
