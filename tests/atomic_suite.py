"""All tests of the atomic tools, for a directory that has its own `engine`, `address` and `backend`."""

from __future__ import annotations

import importlib
import inspect
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tests.atomic.support import Address

#: They make their own backend.
_OTHERS = ("custom",)


def atomic_tests() -> dict[str, Any]:
    """Return the tests of every module by names that differ, and the fixtures that they use."""
    found: dict[str, Any] = {}
    for path in sorted((Path(__file__).parent / "atomic").glob("test_*.py")):
        topic = path.stem.removeprefix("test_")
        if topic in _OTHERS:
            continue
        module = importlib.import_module(f"tests.atomic.{path.stem}")
        for name, item in vars(module).items():
            if inspect.isclass(item) and name.startswith("Test") and item.__module__ == module.__name__:
                found[f"Test{topic.title().replace('_', '')}{name[4:]}"] = item
            elif inspect.isfunction(item) and name.startswith("test_"):
                found[f"test_{topic}_{name[5:]}"] = item
            elif type(item).__name__ == "FixtureFunctionDefinition":
                found[name] = item
    return found


class GroupAddress(Address):
    """Where a group of servers is; texts are written by what the test's fixture says."""

    write: Callable[[str, str], object]

    def write_text(self, key: str, text: str) -> None:
        self.write(f"{self.prefix}{key}", text)
