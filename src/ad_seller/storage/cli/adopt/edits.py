"""Changes of files that stay: the line in ``ad_seller/__init__.py``, the dependency. All other bytes are kept."""

from __future__ import annotations

import ast
import re
import tomllib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

PATH_LINE = b'__path__ = __import__("pkgutil").extend_path(__path__, __name__)'
_DRIVER = re.compile(rb"^[ \t]*(aiosqlite|asyncpg|redis)(?![-_.\w])", re.IGNORECASE | re.MULTILINE)
_OURS = re.compile(
    rb"^[ \t]*(.*[=\[,][ \t]*)?[\"']?ad[-_.]seller[-_.]storage[ \t]*[\"'\[=<>~!;@\r\n]",
    re.IGNORECASE | re.MULTILINE,
)


@dataclass(frozen=True, slots=True)
class Change:
    """A file that is changed.

    Attributes:
        path: the file.
        before: its bytes; None if it is made.
        after: its new bytes; None if it is removed.
        why: in a few words.
    """

    path: Path
    before: bytes | None
    after: bytes | None
    why: str


def joining(source: bytes) -> bytes | None:
    """Return ``ad_seller/__init__.py`` with the line that lets other distributions add modules; None if it has it.

    The line stands before the first import, which may already want the storage.

    Raises:
        SyntaxError: the file cannot be parsed.
    """
    tree = ast.parse(source)
    if any(_joins(node) for node in ast.walk(tree)):
        return None
    body = tree.body
    head = 0
    while head < len(body) and (_is_docstring(body[head], head) or _is_future(body[head])):
        head += 1
    lines = source.splitlines(keepends=True)
    place = body[head - 1].end_lineno or 0 if head else body[0].lineno - 1 if body else len(lines)
    end = _line_end(source)
    before = b"".join(lines[:place])
    rest = b"".join(lines[place:])
    if before and not before.endswith((b"\n", b"\r")):
        before += end
    gap = end if head else b""
    changed = before + gap + PATH_LINE + end + rest
    ast.parse(changed)
    return changed


def _joins(node: ast.AST) -> bool:
    """Tell whether something makes the package one of several places: `pkgutil`, or setuptools in its older way."""
    name = node.attr if isinstance(node, ast.Attribute) else node.id if isinstance(node, ast.Name) else ""
    return name in ("extend_path", "declare_namespace")


def _is_docstring(node: ast.stmt, position: int) -> bool:
    is_text = (
        isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant) and isinstance(node.value.value, str)
    )
    return position == 0 and is_text


def _is_future(node: ast.stmt) -> bool:
    return isinstance(node, ast.ImportFrom) and node.module == "__future__"


def _line_end(source: bytes) -> bytes:
    return b"\r\n" if b"\r\n" in source else b"\n"


def names_us(source: bytes) -> bool:
    """Tell whether a file of requirements, or ``pyproject.toml``, demands this package."""
    return _OURS.search(source) is not None


def in_pyproject(source: bytes, requirement: str) -> bytes | None:
    """Return ``pyproject.toml`` with the requirement before its other dependencies; None where that fails.

    What comes out is parsed: it must be what went in, and the requirement.
    """
    try:
        before = tomllib.loads(source.decode())
    except (tomllib.TOMLDecodeError, UnicodeDecodeError):
        return None
    project = before.get("project", {})
    if not isinstance(project, dict) or not isinstance(project.get("dependencies"), list):
        return None
    changed = _insert_first(source, f'"{requirement}"'.encode())
    if changed is None:
        return None
    expected: dict[str, Any] = tomllib.loads(source.decode())
    expected["project"]["dependencies"].insert(0, requirement)
    try:
        return changed if tomllib.loads(changed.decode()) == expected else None
    except tomllib.TOMLDecodeError:
        return None


def _insert_first(source: bytes, text: bytes) -> bytes | None:
    table = re.search(rb"^[ \t]*\[project\][ \t]*(#[^\n]*)?\r?$", source, re.MULTILINE)
    array = re.compile(rb"^[ \t]*dependencies[ \t]*=[ \t]*\[", re.MULTILINE).search(
        source, table.end() if table else 0
    )
    if table is None or array is None:
        return None
    place = array.end()
    rest = source[place:]
    broken = re.match(rb"[ \t]*(#[^\r\n]*)?(\r?\n)", rest)
    if broken is None:  # the array goes on in this line
        is_empty = rest.lstrip().startswith(b"]")
        return source[:place] + text + (b"" if is_empty else b", ") + rest
    indent = re.match(rb"[ \t]*", rest[broken.end() :])
    lead = (indent[0] if indent else b"") or b"    "
    place += broken.end()
    return source[:place] + lead + text + b"," + broken[2] + source[place:]


def in_requirements(source: bytes, requirement: str) -> bytes | None:
    """Return a file of requirements with this one before its first driver.

    None if it names no driver, or wants the hash of every package, which only its own tool can write.
    """
    driver = _DRIVER.search(source)
    if driver is None or b"--hash" in source:
        return None
    place = driver.start()
    return source[:place] + requirement.encode() + _line_end(source) + source[place:]
