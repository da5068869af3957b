"""Patterns in the agent's code that behave differently here, or lose changes as they did before."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterable, Iterator
from pathlib import Path

from .checkout import Checkout
from .definitions import Function
from .finding import Finding

_STORE = re.compile(
    r"(^|[._])(storage|store|backend|kv|db)(_backend)?$|get_storage(_backend)?\(.*\)$", re.IGNORECASE
)
_LISTINGS = re.compile(r"^(keys|list_[a-z_]+)$")
_HELPER = re.compile(r"^(get|set)_([a-z_]+)$")


def scan_code(checkout: Checkout, replaced: Iterable[Path]) -> list[Finding]:
    """Look through the agent's Python files, but for its tests and what is replaced."""
    left_out = set(replaced)
    found: list[Finding] = []
    for path in checkout.files():
        parts = path.relative_to(checkout.root).parts
        if path.suffix != ".py" or path in left_out or "tests" in parts or path.name.startswith("test_"):
            continue
        name = checkout.name(path)
        try:
            tree = ast.parse(path.read_bytes())
        except (SyntaxError, ValueError) as error:
            found.append(Finding("code-unreadable", name, getattr(error, "lineno", None) or 1, str(error)))
            continue
        found += _Scan(tree, name).findings()
    return sorted(set(found))


class _Scan:
    """One file.

    Findings are about calls that are awaited, on something that is named like a store.
    """

    def __init__(self, tree: ast.Module, file: str) -> None:
        self._tree = tree
        self._file = file

    def findings(self) -> Iterator[Finding]:
        functions = [node for node in ast.walk(self._tree) if isinstance(node, Function)]
        for function in functions:
            calls = list(_calls(function))
            yield from self._newest(function, calls)
            yield from self._written_back(calls)
            yield from self._arguments(calls)
        yield from self._idempotency()
        for node in ast.walk(self._tree):
            if isinstance(node, ast.ClassDef) and any(_last_name(base) == "StorageBackend" for base in node.bases):
                yield self._finding("own-backend", node, f"class {node.name}")

    def _finding(self, rule: str, node: ast.AST, text: str | None = None) -> Finding:
        shown = ast.unparse(node).partition("\n")[0] if text is None else text
        return Finding(rule, self._file, getattr(node, "lineno", 1), shown)

    def _newest(self, function: Function, calls: list[ast.Call]) -> Iterator[Finding]:
        listings = {id(call) for call in calls if _LISTINGS.match(_method(call))}
        listed = _names_from(function, listings)
        for node in ast.walk(function):
            if isinstance(node, ast.Subscript) and _is_tail(node.slice) and _holds(node.value, listings, listed):
                yield self._finding("newest-keys", node)

    def _written_back(self, calls: list[ast.Call]) -> Iterator[Finding]:
        read: set[str] = set()
        for call in calls:
            record = _record(call)
            if record is None:
                continue
            verb, what = record
            if verb == "get":
                read.add(what)
            elif what in read:
                yield self._finding("read-change-write", call)

    def _arguments(self, calls: list[ast.Call]) -> Iterator[Finding]:
        for call in calls:
            for keyword in call.keywords:
                if keyword.arg == "ttl" and isinstance(keyword.value, ast.Constant) and keyword.value.value == 0:
                    yield self._finding("ttl-zero", call)
            if _method(call) == "keys" and any("[" in text for text in _texts(call)):
                yield self._finding("pattern-class", call)
            if _method(call) == "list_quotes" and "buyer_id" in _texts(call):
                yield self._finding("quotes-by-buyer", call)

    def _idempotency(self) -> Iterator[Finding]:
        inside = {
            id(part) for node in ast.walk(self._tree) if isinstance(node, ast.JoinedStr) for part in node.values
        }
        for node in ast.walk(self._tree):
            first = node.values[0] if isinstance(node, ast.JoinedStr) and node.values else node
            if (
                (
                    isinstance(first, ast.Constant)
                    and isinstance(first.value, str)
                    and (first is not node or id(node) not in inside)
                )
                and re.match(r"(idempotency|idem)[:_][^ ]*:?$", first.value)
                and ":" in first.value
            ):
                yield self._finding("own-idempotency", node)


def _calls(function: Function) -> Iterator[ast.Call]:
    """Return the awaited calls of a store's methods, in the order of the text."""
    awaited = (node.value for node in ast.walk(function) if isinstance(node, ast.Await))
    calls = [node for node in awaited if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute)]
    ours = [call for call in calls if _STORE.search(ast.unparse(call.func.value))]  # type: ignore[attr-defined]
    yield from sorted(ours, key=lambda call: (call.lineno, call.col_offset))


def _method(call: ast.Call) -> str:
    return call.func.attr if isinstance(call.func, ast.Attribute) else ""


def _record(call: ast.Call) -> tuple[str, str] | None:
    """Return ``get`` or ``set``, and what tells the record from others: its kind, and its key."""
    method = _method(call)
    helper = _HELPER.match(method)
    if method in ("get", "set"):
        verb, kind = method, ""
    elif helper:
        verb, kind = helper.groups()
    else:
        return None
    values = [
        *call.args,
        *(keyword.value for keyword in call.keywords if (keyword.arg or "").endswith(("id", "key"))),
    ]
    return (verb, f"{kind}({_key_text(values[0])})") if values else None


def _key_text(node: ast.expr) -> str:
    """Return a key as text; ``order.order_id`` and ``order_id`` are taken for the same."""
    return node.attr if isinstance(node, ast.Attribute) else ast.unparse(node)


def _texts(call: ast.Call) -> list[str]:
    return [node.value for node in ast.walk(call) if isinstance(node, ast.Constant) and isinstance(node.value, str)]


def _names_from(function: Function, listings: set[int]) -> set[str]:
    """Return the names that hold a listing, or what was made from one."""
    listed: set[str] = set()
    assigned = [node for node in ast.walk(function) if isinstance(node, ast.Assign)]
    for node in sorted(assigned, key=lambda node: node.lineno):
        if _holds(node.value, listings, listed):
            listed |= {target.id for target in node.targets if isinstance(target, ast.Name)}
    return listed


def _holds(node: ast.expr, listings: set[int], listed: set[str]) -> bool:
    """Tell whether an expression is a listing in its own order: the call, a name, a part, a comprehension."""
    if isinstance(node, ast.Await | ast.Starred | ast.Subscript):
        return _holds(node.value, listings, listed)
    if isinstance(node, ast.ListComp | ast.GeneratorExp):
        return _holds(node.generators[0].iter, listings, listed)
    if isinstance(node, ast.Call) and _last_name(node.func) in ("list", "tuple", "filter", "map"):
        return bool(node.args) and _holds(node.args[-1], listings, listed)
    return id(node) in listings or (isinstance(node, ast.Name) and node.id in listed)


def _is_tail(index: ast.expr) -> bool:
    """Tell ``[-1]`` and ``[-n:]``."""
    start = index.lower if isinstance(index, ast.Slice) else index
    return isinstance(start, ast.UnaryOp) and isinstance(start.op, ast.USub)


def _last_name(node: ast.expr) -> str:
    return ast.unparse(node).rpartition(".")[2]
