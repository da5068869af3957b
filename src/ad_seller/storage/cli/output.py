"""Writing: data to standard output, notes to standard error, colours only where somebody sees them."""

from __future__ import annotations

import json
import re
import sys
from collections.abc import AsyncIterable, Callable
from typing import Any

from rich.console import Console
from rich.highlighter import JSONHighlighter

_CONTROL = re.compile(r"[\x7f-\x9f]")  # some terminals obey these; JSON may escape them as it does those below 0x20
_COLOURED_LENGTH = 100_000  # highlighting is slow, and nobody reads more


def compact(value: Any) -> str:
    """Return ``value`` as JSON on one line."""
    return _harmless(json.dumps(value, ensure_ascii=False, separators=(",", ":")))


def pretty(value: Any) -> str:
    """Return ``value`` as JSON to be read."""
    return _harmless(json.dumps(value, ensure_ascii=False, indent=2))


def _harmless(text: str) -> str:
    return _CONTROL.sub(lambda match: f"\\u{ord(match[0]):04x}", text)


def printable(text: str) -> str:
    """Return the text with everything escaped that a terminal would obey."""
    return text if text.isprintable() else text.encode("unicode_escape").decode()


class Output:
    """Where a command writes to.

    Attributes:
        as_json: write JSON, for programs.
    """

    def __init__(self, *, as_json: bool) -> None:
        """Look at what standard output is."""
        self.as_json = as_json
        self.console = Console(soft_wrap=True, highlight=False)
        self.is_terminal = sys.stdout.isatty()

    def text(self, text: str, end: str = "\n") -> None:
        """Write ``text`` as it is."""
        sys.stdout.write(text + end)

    def key(self, key: str, end: str = "\n") -> None:
        """Write a key; on a terminal, characters that it would obey are escaped."""
        self.text(printable(key) if self.is_terminal else key, end)

    def json(self, value: Any) -> None:
        """Write one JSON value: compact for programs, indented and coloured for people."""
        if self.as_json:
            self.text(compact(value))
        else:
            self.coloured(pretty(value))

    def coloured(self, text: str) -> None:
        """Write JSON text, in colour where that is wanted."""
        console = self.console
        if console.is_terminal and not console.no_color and len(text) < _COLOURED_LENGTH:
            console.print(JSONHighlighter()(text))
        else:
            self.text(text)

    async def array(self, elements: AsyncIterable[Any], opening: str, closing: Callable[[], str]) -> None:
        """Write a JSON array while its elements come in."""
        self.text(opening, end="")
        separator = "\n"
        async for element in elements:
            self.text(separator + compact(element), end="")
            separator = ",\n"
        self.text("\n" + closing())

    def note(self, text: str) -> None:
        """Write what is not data."""
        sys.stdout.flush()
        sys.stderr.write(f"{text}\n")
