"""One call from a thread into the event loop: the thread waits, and may be asked to run a function meanwhile."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from contextvars import ContextVar
from queue import SimpleQueue
from typing import Any, Generic, ParamSpec, TypeVar

from ..concurrency.loops import blocked
from .loop import LoopThread, loop_thread

P = ParamSpec("P")
R = TypeVar("R")

_serving: ContextVar[Call[Any]] = ContextVar("ad_seller_storage_call")
_under_way: set[Call[Any]] = set()  # an event loop itself keeps no task alive


def run(function: Callable[P, Awaitable[R]], /, *args: P.args, **kwargs: P.kwargs) -> R:
    """Await ``function(*args, **kwargs)`` in the loop thread and return its result.

    An exception that interrupts the waiting thread, such as KeyboardInterrupt, cancels the call, waits for its end
    and goes on; a second one leaves at once.
    """
    call = Call(loop_thread(), function, args, kwargs)
    try:
        here = asyncio.get_running_loop()
    except RuntimeError:
        here = None
    if here is None:  # not above: what the call raises has no such error as its context
        return call.wait(Call.start)
    with blocked(here):  # or a disconnect would ask it, and wait for it
        return call.wait(Call.start)


class Call(Generic[R]):
    """A coroutine that runs in the loop for a thread that waits.

    Args:
        thread: where it runs.
        function: what is awaited there, called with ``args`` and ``kwargs``.
    """

    __slots__ = (
        "_args",
        "_ended",
        "_error",
        "_function",
        "_inbox",
        "_kwargs",
        "_result",
        "_task",
        "_thread",
        "left",
    )

    def __init__(
        self,
        thread: LoopThread,
        function: Callable[..., Awaitable[R]],
        args: tuple[Any, ...],
        kwargs: dict[str, Any],
    ) -> None:
        """Keep all; `wait` begins."""
        self._thread = thread
        self._function = function
        self._args = args
        self._kwargs = kwargs
        self._inbox: SimpleQueue[Callable[[], object] | None] = SimpleQueue()  # None: it has ended
        self._task: asyncio.Task[Any] | None = None
        self._ended = False
        self._result: R
        self._error: BaseException | None = None
        self.left = False  # its thread was interrupted and waits for nothing but the end

    # --- in the event loop -----------------------------------------------------------------------------

    def start(self) -> None:
        """Begin, in a task of its own; what runs in it finds the call by `serving`."""
        _serving.set(self)
        _ = self._thread.loop.create_task(self.serve())

    async def serve(self) -> None:
        """Await the function and hand over its outcome; nothing is raised, whatever the function raises."""
        if self._ended:
            return
        _under_way.add(self)
        self._task = task = asyncio.current_task()
        try:
            self._result = await self._function(*self._args, **self._kwargs)
        except BaseException as error:  # KeyboardInterrupt and the like, raised in a task, would stop the loop
            self._error = error
        if self.left and task is not None:
            task.uncancel()
        self._end()

    def fail(self, error: BaseException) -> None:
        """End with ``error`` a call that never began."""
        self._error = error
        self._end()

    def _end(self) -> None:
        _under_way.discard(self)
        self._ended = True
        self._task = None
        self._inbox.put(None)

    def _cancel(self) -> None:
        if not self._ended:
            self.left = True
            if self._task is None:
                self._end()  # it has not begun, and never will
            else:
                self._task.cancel()

    def ask(self, function: Callable[[], object]) -> None:
        """Have the waiting thread run ``function``, which tells the event loop about its end by itself."""
        if self.left:
            raise asyncio.CancelledError
        self._inbox.put(function)

    # --- in the thread that waits ----------------------------------------------------------------------

    def wait(self, begin: Callable[[Call[R]], object]) -> R:
        """Have ``begin(self)`` called in the event loop, and return or raise the outcome.

        Until the end this thread runs what the event loop asks for. Wherever it is interrupted, nothing goes on
        behind the caller's back afterwards; interrupted once more, it leaves at once.
        """
        try:
            self._thread.soon(begin, self)
            while (function := self._inbox.get()) is not None:
                function()
        except BaseException:
            try:
                self._leave()
            finally:
                self._thread.soon(self._cancel)  # if that was interrupted, too, before it was told
            raise
        try:
            if self._error is not None:
                raise self._error
            return self._result
        finally:
            self._error = None  # or the error would hold itself alive through this frame

    def _leave(self) -> None:
        """Cancel the call, whether or not it was told to begin, and wait until it has ended."""
        self._thread.soon(self._cancel)
        while not self._ended:
            self._inbox.get()


def serving() -> Call[Any]:
    """Return the call for which this code runs in the event loop."""
    return _serving.get()
