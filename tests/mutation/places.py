"""Where the nodes of a syntax tree stand in the bytes of their source."""

from __future__ import annotations

import ast
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
