"""Waiting for work that must come to its end, and telling those who wait."""

from __future__ import annotations

import asyncio
import copy
from collections.abc import Awaitable, Coroutine, Iterable
from typing import Any, TypeVar

R = TypeVar("R")
T = TypeVar("T")
E = TypeVar("E", bound=BaseException)


def settle(future: asyncio.Future[R], result: R | None = None, error: BaseException | None = None) -> None:
    """Give a future its result or error, unless it has one; this never raises, whatever the error is.

    A future takes no StopIteration, because that would end whoever awaits it (PEP 479): it becomes a RuntimeError,
    as it does where a coroutine raises it.
    """
    if future.done():
        return
    if isinstance(error, StopIteration):
        told = RuntimeError(f"StopIteration was raised: {error}")
        told.__cause__ = error
        error = told
    if error is not None:
        future.set_exception(error)
    else:
        future.set_result(result)  # type: ignore[arg-type]  # None stands for no error


def copied(error: E) -> E:
    """Return a copy of an error for one of several callers, or the error itself where it cannot be copied."""
    try:
        twin = copy.copy(error)
    except Exception:  # an error of somebody else, whose __init__ wants more than its arguments
        return error
    twin.__cause__, twin.__context__ = error.__cause__, error.__context__
    return twin


def later(work: Coroutine[Any, Any, R]) -> asyncio.Task[R]:
    """Return a task of the running event loop in which ``work`` begins in the next turn, whatever makes its tasks.

    The application's own tasks may begin at once (`asyncio.eager_task_factory`); ours must not, because what is to
    be known of a task before its first step is noted when it has been made.
    """
    return asyncio.Task(work, loop=asyncio.get_running_loop(), name=getattr(work, "__qualname__", None))


async def run_to_end(work: Coroutine[Any, Any, R]) -> R:
    """Await ``work`` in a task of its own; if the caller is cancelled, wait for its end and then pass that on.

    What ``work`` raised is the cause of the cancellation then.
    """
    task = asyncio.ensure_future(work)
    cancelled: asyncio.CancelledError | None = None
    while not task.done():
        try:
            await _ended(task)
        except asyncio.CancelledError as error:
            cancelled = error
    if cancelled is not None:
        raise cancelled from (None if task.cancelled() else task.exception())
    return task.result()


async def _ended(task: asyncio.Future[R]) -> None:
    """Wait until it is done; a cancellation of the caller does not reach it. `asyncio.wait` costs twice as much."""
    waiter: asyncio.Future[None] = task.get_loop().create_future()

    def wake(_: object) -> None:
        settle(waiter)

    task.add_done_callback(wake)
    try:
        await waiter
    finally:
        task.remove_done_callback(wake)


async def all_of(works: Iterable[Awaitable[T]]) -> list[T]:
    """Wait for all of them, then raise the first error, if any: nothing goes on behind the caller's back."""
    given = list(works)
    if len(given) == 1:
        return [await given[0]]
    results: list[T] = []
    for result in await asyncio.gather(*given, return_exceptions=True):
        if isinstance(result, BaseException):
            raise result
        results.append(result)
    return results
