"""Writes the methods without await anew, from the asynchronous classes: ``python -m tests.sync.generate``.

For each class of the asynchronous side one class with the same methods, their parameters and the first line of
their docstrings. `tests/sync/test_derived.py` fails where what is there differs from what is made now.
"""

from __future__ import annotations

import ast
import collections.abc
import inspect
import re
import subprocess
import sys
import textwrap
import typing
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import ad_seller.storage
from ad_seller.storage import StorageBackend, Transaction

FOLDER = Path(__file__).resolve().parents[2] / "src" / "ad_seller" / "storage" / "sync" / "methods"

#: Written by hand in `SyncStorage` and `SyncTransaction`: they return what is entered or iterated over.
BY_HAND = {"iterate", "lease", "transaction", "capabilities"}
#: What a parameter of this name becomes on its way into the event loop.
HANDED_OVER = {
    "change": "in_loop(change)",
    "work": "self._in_thread(work)",
    "lease": "lease.inner",
    "call": "self._call_in_thread(call)",
    "reconcile": "self._call_in_thread(reconcile)",
    "then": "then and self._in_thread(then)",
    "legacy": "legacy and in_loop(legacy)",
}


def sources() -> Iterator[tuple[type[Any], list[str]]]:
    """Yield each class that has public async methods, with those of them that backends or transactions have."""
    seen: set[str] = set()
    for outer in (StorageBackend, Transaction):
        for cls in outer.__mro__:
            names = [name for name in vars(cls) if is_derived(outer, cls, name)]
            if names and cls.__name__ not in seen:
                seen.add(cls.__name__)
                yield cls, names


def is_derived(outer: type[Any], cls: type[Any], name: str) -> bool:
    method = vars(cls)[name]
    in_use = getattr(outer, name) is method
    return in_use and inspect.iscoroutinefunction(method) and not name.startswith("_") and name not in BY_HAND


class Writer:
    """Makes the text of one module."""

    def __init__(self, cls: type[Any], names: list[str]) -> None:
        self.cls = cls
        self.names = names
        self.module: ModuleType = sys.modules[cls.__module__]
        self.imports: dict[str, set[str]] = {"..handover": {"Methods"}}
        self.variables: set[str] = set()

    @property
    def name(self) -> str:
        """What the class is called."""
        stem = re.sub(r"(Helpers|Operations|Writes|Backend)$", "", self.cls.__name__)
        return f"{stem}Methods"

    @property
    def path(self) -> Path:
        """Where it stands: the name of the module of the asynchronous side."""
        return FOLDER / f"{self.module.__name__.rpartition('.')[2]}.py"

    def text(self) -> str:
        """Return the module."""
        methods = [self.method(name) for name in self.names]
        helpers = list(self.helpers())
        base = f"Methods[{self.inner()}]"
        if "Tx" in self.variables:
            base += ", Generic[Tx]"
            self.wanted("typing", "Generic")
        lines = [
            f'"""Made by `python -m tests.sync.generate` from `{self.cls.__name__}`; not to be edited."""',
            "from __future__ import annotations",
            "",
            *(f"from {module} import {', '.join(sorted(names))}" for module, names in sorted(self.imports.items())),
            *(self.variable(name) for name in sorted(self.variables)),
            "",
            f"class {self.name}({base}):",
            f'    """The methods of `{self.cls.__name__}` without await."""',
            *helpers,
            *methods,
        ]
        return formatted("\n".join(lines))

    def inner(self) -> str:
        """Return what the methods are called on."""
        of_both = self.cls in StorageBackend.__mro__ and self.cls in Transaction.__mro__
        if of_both:
            return self.wanted("..handover", "Inner")
        only = StorageBackend if self.cls in StorageBackend.__mro__ else Transaction
        return self.wanted("ad_seller.storage", only.__name__)

    def helpers(self) -> Iterator[str]:
        if "Tx" in self.variables:
            self.wanted("collections.abc", "Awaitable")
            yield "    def _in_thread(self, work: Callable[..., T]) -> Callable[..., Awaitable[T]]:"
            yield "        raise NotImplementedError"
            if any("call" in inspect.signature(vars(self.cls)[name]).parameters for name in self.names):
                yield "    def _call_in_thread(self, call: Callable[[str], T]) -> Callable[[str], Awaitable[T]]:"
                yield "        raise NotImplementedError"

    def variable(self, name: str) -> str:
        return f'{name} = TypeVar("{name}")'

    def wanted(self, module: str, name: str) -> str:
        self.imports.setdefault(module, set()).add(name)
        return name

    # --- one method ------------------------------------------------------------------------------------

    def method(self, name: str) -> str:
        function = vars(self.cls)[name]
        lines: list[str] = []
        for overload in typing.get_overloads(function):
            lines += [f"@{self.wanted('typing', 'overload')}", f"{self.heading(name, overload)} ...", ""]
        summary = (inspect.getdoc(function) or "").partition("\n")[0]
        parameters = list(inspect.signature(function).parameters.values())[1:]
        lines += [self.heading(name, function), f'    """{summary}"""', *self.body(name, parameters)]
        return "\n".join("    " + line for line in lines) + "\n"

    def heading(self, name: str, function: Callable[..., Any]) -> str:
        signature = inspect.signature(function)
        head = self.head(list(signature.parameters.values())[1:])
        return f"def {name}({head}) -> {self.annotation(signature.return_annotation)}:"

    def head(self, parameters: list[inspect.Parameter]) -> str:
        parts = ["self"]
        for parameter in parameters:
            if parameter.kind is parameter.KEYWORD_ONLY and "*" not in parts:
                parts.append("*")
            text = f"{parameter.name}: {self.annotation(parameter.annotation, parameter.name)}"
            if parameter.default is not parameter.empty:
                text += f" = {self.default(parameter.default)}"
            parts.append(text)
        return ", ".join(parts)

    def body(self, name: str, parameters: list[inspect.Parameter]) -> list[str]:
        arguments = [f"self._inner.{name}"]
        reports = False
        for parameter in parameters:
            value = HANDED_OVER.get(parameter.name, parameter.name)
            if "in_loop(" in value:
                self.wanted("..handover", "in_loop")
            if parameter.name == "on_corrupt":
                reports, value = True, "report"
                self.wanted("..handover", "reported")
            arguments.append(f"{parameter.name}={value}" if parameter.kind is parameter.KEYWORD_ONLY else value)
        way = "_read" if awaits_only_get(vars(self.cls)[name]) else "_run"
        call = f"return self.{way}({', '.join(arguments)})"
        return ["    with reported(on_corrupt) as report:", f"        {call}"] if reports else [f"    {call}"]

    def default(self, value: object) -> str:
        if value is None or isinstance(value, bool | int | float | str):
            return repr(value)
        return self.wanted("ad_seller.storage", exported(value))

    def annotation(self, text: str, parameter: str = "") -> str:
        """Return an annotation of the asynchronous side as it reads here, and note what it needs."""
        if parameter == "lease":
            return self.wanted("..lease", "SyncLease")
        if parameter in ("work", "call", "reconcile", "then"):
            text = re.sub(r"Awaitable\[(\w+)\]", r"\1", text)
        return re.sub(r"[A-Za-z_]\w*", lambda match: self.word(match[0]), text)

    def word(self, name: str) -> str:
        """Return one name of an annotation as it is called here."""
        if name in ad_seller.storage.__all__:
            return self.wanted("ad_seller.storage", name)
        found = vars(self.module).get(name) or getattr(collections.abc, name, None) or getattr(typing, name, None)
        if found is None:
            return name  # a builtin
        if isinstance(found, typing.TypeVar):
            self.variables.add(name)
            self.wanted("typing", "TypeVar")
            return name
        if isinstance(found, type) or found is Any:
            return self.wanted(found.__module__, name)
        return self.annotation(spelled(found))


def awaits_only_get(function: Callable[..., Any]) -> bool:
    """Tell whether a method can be run without an event loop where `get` can."""
    tree = ast.parse(textwrap.dedent(inspect.getsource(function)))
    awaited = [ast.unparse(node.value) for node in ast.walk(tree) if isinstance(node, ast.Await)]
    return bool(awaited) and all(call.startswith("self.get(") for call in awaited)


def exported(value: object) -> str:
    """Return the name under which the package exports a value."""
    return next(name for name in ad_seller.storage.__all__ if getattr(ad_seller.storage, name) is value)


def spelled(alias: object) -> str:
    """Return what an alias stands for."""
    text = re.sub(r"(typing|collections\.abc|ad_seller\.storage[.\w]*)\.(?=[A-Za-z])", "", repr(alias))
    return text.replace("NoneType", "None")


def formatted(text: str) -> str:
    """Return the text as `make fmt` would have it."""
    ruff = [sys.executable, "-m", "ruff"]
    for command in (["check", "--fix-only", "--quiet"], ["format", "--quiet"]):
        place = ["--stdin-filename", str(FOLDER / "made.py"), "-"]
        run = subprocess.run([*ruff, *command, *place], input=text, capture_output=True, text=True, check=True)
        text = run.stdout
    return text


def made() -> dict[Path, str]:
    """Return the text of each module."""
    writers = [Writer(cls, names) for cls, names in sources()]
    return {writer.path: writer.text() for writer in writers}


def main(arguments: list[str]) -> None:
    """Write all modules; with ``--check`` only tell whether they are as they would be written."""
    for path, text in made().items():
        if "--check" not in arguments:
            path.write_text(text)
        elif not path.exists() or path.read_text() != text:
            sys.exit(f"{path} is old: python -m tests.sync.generate")


if __name__ == "__main__":
    main(sys.argv[1:])
