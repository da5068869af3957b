"""Until when each request of a batcher waits: one timer, for the oldest that has no answer yet."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from typing import Generic, TypeVar

from .request import Request

T = TypeVar("T")
R = TypeVar("R")

_KEPT = 64  #: requests that are remembered at least before those with an answer are looked for


class Deadlines(Generic[T, R]):
    """The requests that wait, the oldest first; their times end in the order in which they came.

    Args:
        expired: called with each request whose time is up and that has no answer.
    """

    def __init__(self, expired: Callable[[Request[T, R]], None]) -> None:
        """Belong to the running event loop from now on."""
        self._expired = expired
        self._loop = asyncio.get_running_loop()
        self._requests: deque[Request[T, R]] = deque()
        self._prune_at = _KEPT
        self._timer: asyncio.TimerHandle | None = None

    def __len__(self) -> int:
        """Return how many requests are remembered: at most twice those that wait, and a little."""
        return len(self._requests)

    @property
    def waiting(self) -> int:
        """How many have no answer yet; from any thread: the list of a deque is made in one step."""
        return sum(not request.future.done() for request in list(self._requests))

    def add(self, request: Request[T, R]) -> None:
        """Tell when the time of ``request`` is up, unless it has its answer by then."""
        if len(self._requests) >= self._prune_at:
            self.forget_answered()
            if len(self._requests) >= self._prune_at:
                self._prune()
        self._requests.append(request)
        if self._timer is None:
            self._watch()

    def forget_answered(self) -> None:
        """Forget the oldest requests that have their answer."""
        while self._requests and self._requests[0].future.done():
            self._requests.popleft()

    def stop(self) -> None:
        """Keep no timer; whoever still waits is one whom an interrupt has left, and is told."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        for request in self._requests:
            if not request.future.done():
                self._expired(request)

    def _prune(self) -> None:
        """Forget the requests that have their answer, also behind one that has none.

        So results are not held until the oldest is done.
        """
        self._requests = deque(one for one in self._requests if not one.future.done())
        self._prune_at = max(_KEPT, 2 * len(self._requests))

    def _watch(self) -> None:
        if self._timer is None and self._requests:
            self._timer = self._loop.call_at(self._requests[0].deadline, self._expire)

    def _expire(self) -> None:
        self._timer = None
        now = self._loop.time()
        try:
            while self._requests and ((request := self._requests[0]).future.done() or request.deadline <= now):
                if not request.future.done():
                    self._expired(request)
                self._requests.popleft()  # only now: whom an interrupt leaves without an answer is told later
        finally:
            self._watch()
