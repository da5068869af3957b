"""One thing for each event loop of this process."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Final, Generic, TypeVar

from .forks import keep_for_parent, tell_of_forks

T = TypeVar("T")
Loop = asyncio.AbstractEventLoop

_blocked: Final[ContextVar[tuple[Loop, ...]]] = ContextVar("ad_seller_storage_blocked", default=())


@contextmanager
def blocked(loop: Loop) -> Iterator[None]:
    """Say that ``loop`` waits for what is called in this block, wherever that runs: it answers nobody meanwhile."""
    token = _blocked.set((*_blocked.get(), loop))
    try:
        yield
    finally:
        _blocked.reset(token)


def answers(loop: Loop) -> bool:
    """Tell whether ``loop`` can be asked for something: it runs, and does not wait for this very call."""
    return loop.is_running() and loop not in _blocked.get()


class ByLoop(Generic[T]):
    """A table of things by event loop, usable from any thread.

    Things of loops that have ended go when the next one comes, so that nothing grows; those of a parent process
    stay behind in a forked child.
    """

    def __init__(self) -> None:
        """Start empty."""
        self._things: dict[Loop, T] = {}  # single operations on a dict are safe between threads
        tell_of_forks(self)

    def get(self) -> T | None:
        """Return the thing of the running loop, if there is one."""
        return self._things.get(asyncio.get_running_loop())

    def of(self, loop: Loop) -> T | None:
        """Return the thing of ``loop``, if there is one; from any thread."""
        return self._things.get(loop)

    def put(self, thing: T) -> None:
        """Let ``thing`` be that of the running loop."""
        self._things[asyncio.get_running_loop()] = thing

    def get_or_make(self, make: Callable[[], T]) -> T:
        """Return the thing of the running loop, made now if there is none."""
        thing = self.get()
        if thing is None:
            self.take_ended()
            self.put(thing := make())
        return thing

    def all(self) -> list[T]:
        """Return the things of all loops; from any thread."""
        return list(self._things.values())

    def take(self, loop: Loop) -> T | None:
        """Remove and return the thing of ``loop``."""
        return self._things.pop(loop, None)

    def take_ended(self) -> list[T]:
        """Remove and return the things of loops that are closed."""
        ended = [loop for loop in list(self._things) if loop.is_closed()]
        return [thing for loop in ended if (thing := self.take(loop)) is not None]

    def take_all(self) -> list[T]:
        """Remove and return all things."""
        things, self._things = self._things, {}
        return list(things.values())

    def others_running(self) -> bool:
        """Tell whether another loop that has a thing here is running."""
        here = asyncio.get_running_loop()
        return any(loop is not here and loop.is_running() for loop in list(self._things))

    def forked(self) -> None:
        """Start empty in a child; see `forks`."""
        keep_for_parent(self._things)
        self._things = {}
