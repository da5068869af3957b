"""All tests of the atomic tools, for a directory that has its own `engine`, `address` and `backend`."""

from __future__ import annotations

import importlib
import inspect
from collections.abc import Collection
from pathlib import Path
from types import FunctionType
from typing import Any

#: They make their own backend.
_OTHERS = ("custom", "frozen_claims")


def atomic_tests(*, without: Collection[str] = ()) -> dict[str, Any]:
    """Return the tests of every module by names that differ, and the fixtures that they use.

    Args:
        without: names of classes that show nothing more where another engine of the suite does all the work.
    """
    found: dict[str, Any] = {}
    for path in sorted((Path(__file__).parent / "atomic").glob("test_*.py")):
        topic = path.stem.removeprefix("test_")
        if topic in _OTHERS:
            continue
        module = importlib.import_module(f"tests.atomic.{path.stem}")
        for name, item in vars(module).items():
            if inspect.isclass(item) and name.startswith("Test") and item.__module__ == module.__name__:
                found[f"Test{topic.title().replace('_', '')}{name[4:]}"] = _without_own_servers(item)
            elif inspect.isfunction(item) and name.startswith("test_") and not _has_own_server(item):
                found[f"test_{topic}_{name[5:]}"] = _marked(item, getattr(module, "pytestmark", None))
            elif type(item).__name__ == "FixtureFunctionDefinition":
                found[name] = item
    for name in without:
        del found[name]
    return found


def _has_own_server(test: Any) -> bool:
    """Tell whether a test breaks a server of its own: it would be the same test once more."""
    return inspect.isfunction(test) and "own_redis" in inspect.signature(test).parameters


def _without_own_servers(tests: type) -> type:
    return type(
        tests.__name__, (tests,), {name: None for name in dir(tests) if _has_own_server(getattr(tests, name))}
    )


def _marked(test: FunctionType, mark: Any) -> FunctionType:
    """Return a copy of ``test`` with the mark of the module that it comes from."""
    if mark is None:
        return test
    copy = FunctionType(test.__code__, test.__globals__, test.__name__, test.__defaults__, test.__closure__)
    copy.__dict__.update(test.__dict__)
    copy.__kwdefaults__ = test.__kwdefaults__
    copy.__dict__["pytestmark"] = [*getattr(test, "pytestmark", []), getattr(mark, "mark", mark)]
    return copy
