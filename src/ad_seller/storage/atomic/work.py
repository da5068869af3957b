"""The function that a caller hands over, to be done in a transaction."""

from __future__ import annotations

import inspect
from collections.abc import Awaitable
from typing import Any

from ..errors import InvalidArgumentError, shown


def check_work(work: object) -> None:
    """Raise `InvalidArgumentError` unless ``work`` can be called."""
    if not callable(work):
        raise InvalidArgumentError(f"The work must be an async function of a transaction, not {shown(work)}")


def awaitable(result: Any) -> Awaitable[Any]:
    """Return what a work function returned, to be awaited; one that is not async is refused."""
    if not inspect.isawaitable(result):
        raise InvalidArgumentError("The work must be an async function: write 'async def', not 'def' or 'lambda'")
    return result
