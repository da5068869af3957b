"""What one caller wants of a bulk call, and how the caller gets it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from typing import Any, Generic, TypeVar

T = TypeVar("T")
R = TypeVar("R")

_WAKE = 32  #: callers that are woken in one turn of the event loop
_WAKE_BYTES = 262_144  #: likewise, of what these have to decode then


class Request(Generic[T, R]):
    """Some items that one caller wants handled together, and the future that gets the results."""

    __slots__ = ("deadline", "future", "items", "sent")

    def __init__(self, items: Sequence[T], future: asyncio.Future[list[R]], deadline: float) -> None:
        """Keep the items; ``deadline`` is in the event loop's time."""
        self.items = items
        self.future = future
        self.deadline = deadline
        self.sent = False

    def answer(
        self, results: Sequence[R | asyncio.Future[R]], fail: Callable[[Request[T, R], BaseException], None]
    ) -> asyncio.Future[Any] | None:
        """Give the caller its results; if the engine has some of them later, then.

        Args:
            results: those of the items, in a list of their own, and futures of those that come later: they are
                cancelled when the caller no longer waits.
            fail: tells the caller what became of one that failed.

        Returns:
            None, or a future that is done when the engine has the rest.
        """
        for result in results:
            if isinstance(result, asyncio.Future):
                return self._answer_later(results, fail)
        if not self.future.done():
            self.future.set_result(results)  # type: ignore[arg-type]  # a list, and none of them is a future
        return None

    def _answer_later(
        self, results: Sequence[R | asyncio.Future[R]], fail: Callable[[Request[T, R], BaseException], None]
    ) -> asyncio.Future[Any]:
        later = [result for result in results if isinstance(result, asyncio.Future)]

        def answer(rest: asyncio.Future[Any]) -> None:
            if any(one.cancelled() for one in later):
                self.future.cancel()
            elif failures := [error for one in later if (error := one.exception()) is not None]:
                fail(self, failures[0])
            elif not self.future.done():
                self.future.set_result([r.result() if isinstance(r, asyncio.Future) else r for r in results])

        rest = asyncio.gather(*later, return_exceptions=True)
        rest.add_done_callback(answer)
        self.future.add_done_callback(lambda _: [one.cancel() for one in later])
        return rest


def items_of(batch: list[Request[T, R]]) -> list[T]:
    """Return the items of all of them, in order."""
    return [item for request in batch for item in request.items]


def woken_at_once(results: Sequence[object], callers: int) -> int:
    """Return how many callers are woken in one turn of the event loop; fewer, where their texts are large."""
    if callers == 1:
        return _WAKE
    size = sum([len(text) for text in results if type(text) is bytes])
    return _WAKE if size <= _WAKE_BYTES else max(1, min(_WAKE, callers * _WAKE_BYTES // size))
