"""Waiting for work that must come to its end."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Coroutine, Iterable
from typing import Any, TypeVar

R = TypeVar("R")
T = TypeVar("T")


async def run_to_end(work: Coroutine[Any, Any, R]) -> R:
    """Await ``work`` in a task of its own; if the caller is cancelled, wait for its end and then pass that on."""
    task = asyncio.ensure_future(work)
    cancelled: asyncio.CancelledError | None = None
    while not task.done():
        try:
            await asyncio.wait([task])
        except asyncio.CancelledError as error:
            cancelled = error
    if cancelled is not None:
        if not task.cancelled():
            task.exception()  # looked at, so that asyncio does not report it as lost
        raise cancelled
    return task.result()


async def all_of(works: Iterable[Awaitable[T]]) -> list[T]:
    """Wait for all of them, then raise the first error, if any: nothing goes on behind the caller's back."""
    results: list[T] = []
    for result in await asyncio.gather(*works, return_exceptions=True):
        if isinstance(result, BaseException):
            raise result
        results.append(result)
    return results
