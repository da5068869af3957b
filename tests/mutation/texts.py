"""Defects in the SQL and Lua that stand in strings."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator

from .places import Edit, Places

_SQL = re.compile(r"\b(SELECT|INSERT|UPDATE|DELETE FROM|CREATE|PRAGMA|WHERE|AND|ORDER BY|expires_at)\b|\bkey [<>=]")
_LUA = re.compile(r"\bredis\.p?call\b")

#: A number that is no part of a name, a parameter or an escape.
_NUMBER = r"(?<![\w$\\.{:])(?<!SELECT )(?<!RETURNING )\d+(?:_\d+)*(?![\w.}])"

#: What is looked for in SQL, and what comes instead; a whole phrase comes before its parts.
_SQL_SWAPS: tuple[tuple[str, str], ...] = (
    (r"<=", "<"),
    (r">=", ">"),
    (r"<>", "="),
    (r"(?<![<>])>(?![=>])", ">="),
    (r"(?<![<>])<(?![<=>])", "<="),
    (r"(?<![<>:!=])(?<!SET value )(?<!expires_at )=(?![>=])(?! off)", "<>"),
    (r"\bAND\b", "OR"),
    (r"\bOR\b(?! REPLACE)", "AND"),
    (r"\bIS NULL\b", "IS NOT NULL"),
    (r"\bIS NOT NULL\b", "IS NULL"),
    (r"\bNOT IN\b", "IN"),
    (r"\bIS DISTINCT FROM\b", "="),
    (r"<> ALL\b", "= ANY"),
    (r" SKIP LOCKED\b", ""),
    (r" FOR UPDATE SKIP LOCKED\b", ""),
    (r"ORDER BY [a-z_.]+(?: COLLATE \"C\")?(?: DESC)?", ""),
    (r" DESC\b", ""),
    (r"\bDO UPDATE SET value = excluded\.value, +expires_at = excluded\.expires_at", "DO NOTHING"),
    (r"excluded\.expires_at", "NULL"),
    (r", expires_at = :deadline", ""),
    (r"\bUNION ALL\b", "INTERSECT"),
    (r"\bgreatest\(", "least("),
    (r"\bceil\(", "floor("),
    (r"\bcoalesce\(", "nullif("),
    (r"(?<== )'[a-z]'", "'?'"),
    (r"'[a-z]'(?=[,)]| THEN)", "'?'"),
    (r"\b1 millisecond\b", "1 second"),
    (r"(?<= )\+(?= )", "-"),
    (r"\bAS MATERIALIZED\b(?= \(\s*SELECT key)", "AS"),
)
_LUA_SWAPS: tuple[tuple[str, str], ...] = (
    (r"==", "~="),
    (r"~=", "=="),
    (r"<=", "<"),
    (r">=", ">"),
    (r"(?<= )<(?= )", "<="),
    (r"(?<= )>(?= )", ">="),
    (r"\band\b", "or"),
    (r"\bor\b", "and"),
    (r"\bnot ", ""),
    (r"\btrue\b", "false"),
    (r"\bfalse\b", "true"),
    (r"(?<= )\+(?= )", "-"),
    (r"(?<= )-(?= )", "+"),
    (r"(?<= )\*(?= )", "+"),
    (r"'ZADD'", "'ZREM'"),
    (r"'ZREM'", "'ZADD'"),
    (r"'PX'", "'EX'"),
    (r", 'KEEPTTL'", ""),
    (r"'(?:DEL|PERSIST|INCR)'", "'EXISTS'"),
    (r"'PEXPIRE'", "'EXPIRE'"),
    (r"'MSET'", "'MSETNX'"),
    (r"'PTTL'", "'TTL'"),
    (r"(?:^|(?<=then )) *(?:redis\.p?call\(.*\)|[a-z#\[\]]+ = .+?)(?= end$|$)", ""),
)


def text_edits(source: bytes, tree: ast.Module) -> Iterator[Edit]:
    """Yield all defects of the SQL and Lua in a module."""
    places = Places(source)
    for node in _strings(tree):
        yield from _edits(places.span(node)[0], places.text(node), is_formatted=isinstance(node, ast.JoinedStr))


def _edits(begin: int, text: str, *, is_formatted: bool) -> Iterator[Edit]:
    if _LUA.search(text):
        swaps = _LUA_SWAPS
    elif _SQL.search(text):
        swaps = _SQL_SWAPS
    else:
        return
    # What Python puts in is no part of the text, nor is a comment between two of its lines.
    fixed = re.sub(r"(?<!\{)\{[^{}]+\}(?!\})" if is_formatted else r"(?!)", _blank, text)
    fixed = re.sub(r"  # noqa.*", _blank, fixed)
    for pattern, new in (*swaps, (_NUMBER, None)):
        for found in re.finditer(pattern, fixed, re.MULTILINE):
            first, last = (len(text[:place].encode()) for place in found.span())
            yield begin + first, begin + last, str(int(found[0]) + 1) if new is None else new


def _blank(found: re.Match[str]) -> str:
    return "\0" * len(found[0])


def _strings(tree: ast.Module) -> Iterator[ast.Constant | ast.JoinedStr]:
    """Yield the strings of a module, without docstrings and without the parts of f-strings."""
    waiting: list[ast.AST] = [tree]
    while waiting:
        node = waiting.pop()
        if isinstance(node, ast.JoinedStr) or (isinstance(node, ast.Constant) and isinstance(node.value, str)):
            yield node
        elif not (isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)):
            waiting.extend(ast.iter_child_nodes(node))
