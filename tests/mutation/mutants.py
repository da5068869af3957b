"""Mutants: a module with one small defect."""

from __future__ import annotations

import ast
import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from .code import code_edits
from .places import Statements
from .subsets import PACKAGE
from .texts import text_edits

KINDS = {"text": text_edits, "code": code_edits}


@dataclass(frozen=True)
class Mutant:
    """One defect in a module.

    Attributes:
        module: its name in the package.
        kind: where the defect is, in the SQL or Lua of a string ("text") or in Python ("code").
        line: number of the line where it begins.
        old: what stood there.
        new: what stands there instead.
        shown: the line as it is without the defect.
        source: the whole module with the defect.
        statement: the smallest statement around it that can be read alone, without the defect and with it.
    """

    module: str
    kind: str
    line: int
    old: str
    new: str
    shown: str
    source: bytes
    statement: tuple[bytes, bytes] = (b"", b"")

    @property
    def id(self) -> str:
        """The name under which its verdict is kept: another one as soon as the module changes."""
        return hashlib.sha256(self.source).hexdigest()[:12]

    def __str__(self) -> str:
        """Show it in one line."""
        old, new = (" ".join(text.split()) for text in (self.old, self.new))
        return f"{self.module}:{self.line}  {old!r} -> {new!r}  in  {self.shown}"


def mutants(path: Path, kinds: tuple[str, ...] = tuple(KINDS)) -> Iterator[Mutant]:
    """Yield all mutants of a file in the order of their places; those that Python refuses are none."""
    source = path.read_bytes()
    module = str(path.relative_to(PACKAGE).with_suffix("")) if path.is_relative_to(PACKAGE) else path.stem
    tree = ast.parse(source)
    statements = Statements(source, tree)
    edits = [(*edit, kind) for kind in kinds for edit in KINDS[kind](source, tree)]
    for begin, end, new, kind in sorted(set(edits)):
        changed = source[:begin] + new.encode() + source[end:]
        statement = statements.around((begin, end, new))
        if changed != source and _is_valid(statement[1]):
            line = source[:begin].count(b"\n") + 1
            old = source[begin:end].decode()
            shown = source.splitlines()[line - 1].decode().strip()
            yield Mutant(module, kind, line, old, new, shown, changed, statement)


def _is_valid(source: bytes) -> bool:
    try:
        ast.parse(source)
    except SyntaxError:
        return False
    return True
