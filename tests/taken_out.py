"""Where each mend is noted that `tests.defects` can take out again."""

from __future__ import annotations

from collections.abc import Callable

import pytest

Patch = pytest.MonkeyPatch

DEFECTS: dict[str, Callable[[Patch], None]] = {}


def defect(name: str) -> Callable[[Callable[[Patch], None]], Callable[[Patch], None]]:
    """Mark what brings a defect back."""

    def mark(function: Callable[[Patch], None]) -> Callable[[Patch], None]:
        DEFECTS[name] = function
        return function

    return mark
