"""Several calls of one thread that run in one task of the event loop: transactions and leases belong to a task."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from typing import Any, ParamSpec, TypeVar

from ad_seller.storage import StorageBackend, TransactionError

from .calls import Call
from .loop import LoopThread, is_current

P = ParamSpec("P")
R = TypeVar("R")


class Finished:
    """How the thread's part has ended.

    Attributes:
        result: what it returned.
        error: what it raised, or None.
    """

    def __init__(self, result: Any = None, error: Exception | None = None) -> None:
        """Keep both."""
        self.result = result
        self.error = error


class Dialogue:
    """Steps that a thread hands over, and a task of the event loop that makes them one after the other.

    Args:
        thread: where they are made.
        lasting: whether a cancellation between two steps is for what the steps hold (a lease that was lost), which
            finds out by itself, so that the dialogue goes on.
    """

    def __init__(self, thread: LoopThread, *, lasting: bool) -> None:
        """Begin nothing yet; `serve`, awaited in the task, does."""
        self._thread = thread
        self._lasting = lasting
        self._steps: asyncio.Queue[Call[Any] | Finished] = asyncio.Queue()
        self._task: asyncio.Task[Any] | None = None
        self._over = False  # no more steps are accepted; the thread says so
        self._served = False  # no more steps are made; the task says so

    def start(self) -> None:
        """Serve in a task of the dialogue's own; called by the thread."""

        def begin() -> None:
            self._task = self._thread.loop.create_task(self.serve())

        self._thread.soon(begin)

    def run(self, function: Callable[P, Awaitable[R]], /, *args: P.args, **kwargs: P.kwargs) -> R:
        """Await ``function(*args, **kwargs)`` in the task and return its result.

        Raises:
            TransactionError: the dialogue is over, or was begun before this process was forked.
        """
        if self._over or not is_current(self._thread):
            raise _has_ended()
        self._thread.check()
        call = Call(self._thread, function, args, kwargs)
        self._thread.soon(self._put, call)
        return call.wait()

    def finish(self, outcome: Finished) -> None:
        """Let `serve` end with ``outcome``; called by the thread, once."""
        self._over = True
        if is_current(self._thread):
            self._thread.soon(self._put, outcome)

    # --- in the event loop -----------------------------------------------------------------------------

    def _put(self, step: Call[Any] | Finished) -> None:
        if not self._served:
            self._steps.put_nowait(step)
        elif isinstance(step, Call):
            step.fail(_has_ended())

    async def serve(self) -> Any:
        """Make the steps until the thread is finished; return or raise what it says then."""
        try:
            while not isinstance(step := await self._next(), Finished):
                await step.serve()
        finally:
            self._served = True
            while not self._steps.empty():
                if isinstance(left := self._steps.get_nowait(), Call):
                    left.fail(_has_ended())
        if step.error is not None:
            raise step.error
        return step.result

    async def _next(self) -> Call[Any] | Finished:
        while True:
            try:
                return await self._steps.get()
            except asyncio.CancelledError:
                if not self._lasting:
                    raise


def _has_ended() -> TransactionError:
    return TransactionError("The transaction has not begun, or has ended")


_open = threading.local()


@contextmanager
def not_nested(store: StorageBackend) -> Iterator[None]:
    """Refuse a transaction of ``store`` inside of another one of the same thread.

    Raises:
        TransactionError: there is one.
    """
    stores: set[int] = _open.__dict__.setdefault("stores", set())
    if id(store) in stores:
        raise TransactionError("Transactions cannot be nested; pass the outer one on instead")
    stores.add(id(store))
    try:
        yield
    finally:
        stores.discard(id(store))
