"""Where the nodes of a syntax tree stand in the bytes of their source."""

from __future__ import annotations

import ast
from contextlib import suppress
from itertools import accumulate

Edit = tuple[int, int, str]  #: begin and end in the bytes of the source, and what comes there instead


class Places:
    """Finds nodes in a source.

    Args:
        source: a module.
    """

    def __init__(self, source: bytes) -> None:
        self._source = source
        self._starts = [0, *accumulate(len(line) + 1 for line in source.split(b"\n"))]

    def span(self, node: ast.expr | ast.stmt) -> tuple[int, int]:
        """Return where a node begins and ends."""
        assert node.end_lineno is not None
        assert node.end_col_offset is not None
        begin = self._starts[node.lineno - 1] + node.col_offset
        return begin, self._starts[node.end_lineno - 1] + node.end_col_offset

    def text(self, node: ast.expr | ast.stmt) -> str:
        """Return a node as it is written."""
        begin, end = self.span(node)
        return self._source[begin:end].decode()


class Statements:
    """Finds the smallest statement around an edit: what is to be read again, instead of the whole module.

    Args:
        source: a module.
        tree: the same, parsed.
    """

    def __init__(self, source: bytes, tree: ast.Module) -> None:
        self._source = source
        self._starts = [0, *accumulate(len(line) + 1 for line in source.split(b"\n"))]
        found = [(*self._lines(node), node) for node in ast.walk(tree) if isinstance(node, ast.stmt)]
        self._found = sorted(found, key=lambda one: one[1] - one[0])
        self._alone: dict[ast.stmt, bool] = {}

    def around(self, edit: Edit) -> tuple[bytes, bytes]:
        """Return the statement as it is, and as it is after an edit; the whole module if there is none."""
        begin, end, new = edit
        for first, last, node in self._found:
            if first <= begin and end <= last and self._reads_alone(first, last, node):
                break
        else:
            first, last = 0, len(self._source)
        after = self._source[first:begin] + new.encode() + self._source[end:last]
        return _outdented(self._source[first:last]), _outdented(after)

    def _lines(self, node: ast.stmt) -> tuple[int, int]:
        """Return where the first line of a statement begins, and its last one ends."""
        first = min(one.lineno for one in (node, *getattr(node, "decorator_list", ())))
        assert node.end_lineno is not None
        return self._starts[first - 1], self._starts[node.end_lineno] - 1

    def _reads_alone(self, first: int, last: int, node: ast.stmt) -> bool:
        """Tell whether its lines hold nothing else: no other statement, no ``elif`` or ``case``."""
        if node not in self._alone:
            lines = self._source[first:last]
            with suppress(SyntaxError):
                read: list[ast.stmt] = ast.parse(_outdented(lines)).body
                if lines[:1].isspace():
                    [block] = read
                    read = block.body if isinstance(block, ast.If) else read
                self._alone[node] = [type(one) for one in read] == [type(node)]
        return self._alone.setdefault(node, False)


def _outdented(lines: bytes) -> bytes:
    """Return the lines of a block as those of a module."""
    return b"if 1:\n" + lines if lines[:1].isspace() else lines
