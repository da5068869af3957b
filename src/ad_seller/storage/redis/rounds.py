"""Work that all share who ask for the same before it begins."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from functools import partial
from typing import Any, Generic, TypeVar

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
        """
        if what not in self._next:
            task = asyncio.create_task(run(lambda: self._next.pop(what, None)))
            self._next[what] = task
            self._all.add(task)
            task.add_done_callback(partial(self._ended, what))
        return await asyncio.shield(self._next[what])

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
