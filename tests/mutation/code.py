"""Defects in the functions of a module."""

from __future__ import annotations

import ast
from collections.abc import Iterator

from .places import Edit, Places

Swap = dict[type[ast.AST], type[ast.AST]]

_COMPARISONS: Swap = {
    ast.Lt: ast.LtE,
    ast.LtE: ast.Lt,
    ast.Gt: ast.GtE,
    ast.GtE: ast.Gt,
    ast.Eq: ast.NotEq,
    ast.NotEq: ast.Eq,
    ast.Is: ast.IsNot,
    ast.IsNot: ast.Is,
    ast.In: ast.NotIn,
    ast.NotIn: ast.In,
}
_ARITHMETIC: Swap = {
    ast.Add: ast.Sub,
    ast.Sub: ast.Add,
    ast.Mult: ast.Add,
    ast.Div: ast.Mult,
    ast.FloorDiv: ast.Mult,
    ast.Mod: ast.Add,
    ast.BitAnd: ast.BitOr,
    ast.BitOr: ast.BitAnd,
}


def code_edits(source: bytes, tree: ast.Module) -> Iterator[Edit]:
    """Yield all defects of the functions of a module."""
    places = Places(source)
    for node in _inside_functions(tree):
        if isinstance(node, ast.expr):
            for text in _expressions(node):
                yield *places.span(node), f"({text})"
        elif isinstance(node, ast.If | ast.While):
            if isinstance(node.test, ast.Name | ast.Attribute | ast.Call | ast.Await):
                yield *places.span(node.test), f"not {ast.unparse(node.test)}"
        elif isinstance(node, ast.stmt):
            for text in _statements(node):
                yield *places.span(node), text


def _inside_functions(tree: ast.Module) -> Iterator[ast.AST]:
    """Yield all nodes of bodies, without annotations, docstrings f-strings (Python 3.11 mistakes their places)."""
    waiting: list[ast.AST] = []
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            waiting.extend(node.body)
    seen: set[ast.AST] = set()
    while waiting:
        node = waiting.pop()
        is_text = isinstance(node, ast.JoinedStr) or (
            isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)
        )
        if node in seen or is_text or isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            continue
        seen.add(node)
        yield node
        annotation = node.annotation if isinstance(node, ast.AnnAssign) else None
        waiting.extend(child for child in ast.iter_child_nodes(node) if child is not annotation)


def _expressions(node: ast.expr) -> Iterator[str]:
    match node:
        case ast.Compare(left, ops, comparators):
            for place, op in enumerate(ops):
                other = [*ops[:place], _COMPARISONS[type(op)](), *ops[place + 1 :]]
                yield ast.unparse(ast.Compare(left, other, comparators))  # type: ignore[arg-type] # of the same kind
        case ast.BoolOp(op, values):
            yield ast.unparse(ast.BoolOp(ast.Or() if isinstance(op, ast.And) else ast.And(), values))
        case ast.UnaryOp(ast.Not(), operand):
            yield ast.unparse(operand)
        case ast.BinOp(left, op, right) if type(op) in _ARITHMETIC:
            yield ast.unparse(ast.BinOp(left, _ARITHMETIC[type(op)](), right))  # type: ignore[arg-type] # likewise
        case ast.IfExp(test, body, orelse):
            yield ast.unparse(ast.IfExp(test, orelse, body))
        case ast.Constant(bool() as value):
            yield repr(not value)
        case ast.Constant(int() | float() as value):
            yield repr(value + 1)


def _statements(node: ast.stmt) -> Iterator[str]:
    match node:
        case ast.Return(ast.expr() as value) if not (isinstance(value, ast.Constant) and value.value is None):
            yield "return None"
        case ast.Expr() | ast.Raise() | ast.Delete():
            yield "pass"
        case ast.Assign([target], value) if not (isinstance(value, ast.Constant) and value.value is None):
            yield f"{ast.unparse(target)} = None" if isinstance(target, ast.Name) else "pass"
        case ast.AugAssign(target, op, value) if type(op) in _ARITHMETIC:
            yield ast.unparse(ast.AugAssign(target, _ARITHMETIC[type(op)](), value))  # type: ignore[arg-type]
            yield f"{ast.unparse(target)} = {ast.unparse(value)}"
        case ast.Break():
            yield "continue"
        case ast.Continue():
            yield "break"
