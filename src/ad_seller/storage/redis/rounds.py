"""Work that all share who ask for the same before it begins."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from functools import partial
from typing import Any, Generic, TypeVar

from ..concurrency.tasks import later
from ..driver.failures import EngineError, NotSentError

T = TypeVar("T")


class OvertimeError(NotSentError):
    """The time of another one was up, for whom this one waited: there may be time for another try."""


def told_to_others(failure: Exception) -> NotSentError:
    """Return what those hear who waited for one that has failed."""
    error = (OvertimeError if isinstance(failure.__cause__, TimeoutError) else NotSentError)(str(failure))
    error.__cause__ = failure.__cause__ or failure
    return error


class Rounds(Generic[T]):
    """A task for each round; it goes on although its callers were cancelled."""

    def __init__(self) -> None:
        """Nothing goes on."""
        self._next: dict[str, asyncio.Task[T]] = {}  # by what is asked for; not begun yet
        self._all: set[asyncio.Task[T]] = set()  # these, and those that have begun

    async def share(
        self, what: str, run: Callable[[Callable[[], object]], Coroutine[Any, Any, T]], deadline: float
    ) -> T:
        """Return what the next round answers.

        Args:
            what: is asked for.
            run: makes a round; it calls what it gets when it begins: who asks later needs another one.
            deadline: of the caller, in the event loop's time; the round may be of another one, who had less time.

        Raises:
            OvertimeError: it was.
            NotSentError: the rounds were closed; or what the round raises.
        """
        if (task := self._next.get(what)) is None or task.done():  # it failed before it began
            task = self._next[what] = later(run(lambda: self._next.pop(what, None)))
            self._all.add(task)
            task.add_done_callback(partial(self._ended, what))
        await asyncio.wait([task])
        if task.cancelled():  # its callers were not
            raise NotSentError("the listings were closed")
        error, has_time = task.exception(), asyncio.get_running_loop().time() < deadline
        if has_time and isinstance(error, EngineError) and isinstance(error.__cause__, TimeoutError):
            raise told_to_others(error)
        return task.result()

    def _ended(self, what: str, task: asyncio.Task[T]) -> None:
        self._all.discard(task)
        if self._next.get(what) is task:  # it never began
            del self._next[what]
        _ = task.cancelled() or task.exception()  # looked at, in case nobody waits any more

    async def close(self) -> None:
        """End what goes on."""
        for task in tuple(self._all):
            task.cancel()
            await asyncio.wait([task])
