"""What a Python file defines: classes, functions with their parameters, names, imports, texts."""

from __future__ import annotations

import ast
import hashlib
from collections.abc import Iterator
from dataclasses import dataclass, field

Function = ast.FunctionDef | ast.AsyncFunctionDef


@dataclass(slots=True)
class Definitions:
    """What a file defines.

    Attributes:
        classes: the bases of each class of the file, as they are written.
        functions: the functions by name; a method is ``Class.method``.
        names: other names that are assigned at the top.
        imported: what each import brings, as ``module:name``; relative modules begin with dots.
        texts: all string constants that are no docstrings.
    """

    classes: dict[str, list[str]] = field(default_factory=dict)
    functions: dict[str, Function] = field(default_factory=dict)
    names: set[str] = field(default_factory=set)
    imported: list[str] = field(default_factory=list)
    texts: list[str] = field(default_factory=list)


def read_definitions(source: bytes) -> Definitions:
    """Parse a file.

    Raises:
        SyntaxError: it is no Python that this interpreter knows; ValueError for a NUL character.
    """
    tree = ast.parse(source)
    found = Definitions()
    for node in _top(tree.body):
        _define(node, found)
    found.imported = list(_imports(tree))
    docstrings = {id(text) for text in _docstrings(tree)}
    found.texts = [
        node.value
        for node in ast.walk(tree)
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in docstrings
    ]
    return found


def _top(body: list[ast.stmt]) -> Iterator[ast.stmt]:
    """Return the statements at the top, those inside of ``if`` and ``try`` among them."""
    for node in body:
        if isinstance(node, ast.If):
            yield from _top([*node.body, *node.orelse])
        elif isinstance(node, ast.Try):
            handlers = [line for handler in node.handlers for line in handler.body]
            yield from _top([*node.body, *handlers, *node.orelse, *node.finalbody])
        else:
            yield node


def _define(node: ast.stmt, found: Definitions) -> None:
    if isinstance(node, ast.ClassDef):
        found.classes[node.name] = [ast.unparse(base) for base in node.bases]
        for each in _top(node.body):
            if isinstance(each, Function):
                found.functions[f"{node.name}.{each.name}"] = each
    elif isinstance(node, Function):
        found.functions[node.name] = node
    elif isinstance(node, ast.Assign):
        found.names |= {
            name.id for target in node.targets for name in ast.walk(target) if isinstance(name, ast.Name)
        }
    elif isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name):
        found.names.add(node.target.id)


def _imports(tree: ast.Module) -> Iterator[str]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (f"{alias.name}:" for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield from (f"{'.' * node.level}{node.module or ''}:{alias.name}" for alias in node.names)


def _docstrings(tree: ast.Module) -> Iterator[ast.Constant]:
    for node in ast.walk(tree):
        if (
            isinstance(node, ast.Module | ast.ClassDef | Function)
            and ast.get_docstring(node, clean=False) is not None
        ):
            first = node.body[0]
            if isinstance(first, ast.Expr) and isinstance(first.value, ast.Constant):
                yield first.value


def statements(function: Function) -> int:
    """Return how many statements a function has, its docstring not counted."""
    own = sum(isinstance(node, ast.stmt) for node in ast.walk(function)) - 1
    return own - (ast.get_docstring(function, clean=False) is not None)


def fingerprint(function: Function) -> str:
    """Return what tells this function's code from another's: not its docstring, comments or layout.

    It is the same with every version of Python: what newer ones added to the tree counts where it says something.
    """
    body = function.body[ast.get_docstring(function, clean=False) is not None :]
    parts = [type(function).__name__, _dump(function.args), *(_dump(node) for node in function.decorator_list)]
    text = "\n".join([*parts, *(_dump(node) for node in body)])
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:12]


def _dump(node: object) -> str:
    if isinstance(node, ast.AST):
        fields = ((name, getattr(node, name, None)) for name in node._fields if name not in _NO_CODE)
        inside = ",".join(f"{name}={_dump(value)}" for name, value in fields if value not in (None, []))
        return f"{type(node).__name__}({inside})"
    if isinstance(node, list):
        return f"[{','.join(_dump(each) for each in node)}]"
    return repr(node)


#: Fields that say nothing about what the code does.
_NO_CODE = {"annotation", "ctx", "kind", "returns", "type_comment", "type_params"}
