"""Work that all share who ask for the same before it begins."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from functools import partial
from typing import Any, Generic, TypeVar

from ..driver.failures import NotSentError

T = TypeVar("T")


class Rounds(Generic[T]):
    """A task for each round; it goes on although its callers were cancelled."""

    def __init__(self) -> None:
        """Nothing goes on."""
        self._next: dict[str, asyncio.Task[T]] = {}  # by what is asked for; not begun yet
        self._all: set[asyncio.Task[T]] = set()  # these, and those that have begun

    async def share(self, what: str, run: Callable[[Callable[[], object]], Coroutine[Any, Any, T]]) -> T:
        """Return what the next round answers.

        Args:
            what: is asked for.
            run: makes a round; it calls what it gets when it begins: who asks later needs another one.

        Raises:
            NotSentError: the rounds were closed; or what the round raises.
        """
        if (task := self._next.get(what)) is None or task.done():  # it failed before it began
            task = self._next[what] = asyncio.create_task(run(lambda: self._next.pop(what, None)))
            self._all.add(task)
            task.add_done_callback(partial(self._ended, what))
        await asyncio.wait([task])
        if task.cancelled():  # its callers were not
            raise NotSentError("the listings were closed")
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
