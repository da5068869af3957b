"""Several calls of one thread that run in one task of the event loop: transactions and leases belong to a task."""

from __future__ import annotations

import asyncio
import weakref
from collections.abc import Awaitable, Callable
from contextlib import AbstractAsyncContextManager
from types import TracebackType
from typing import Any, ParamSpec, TypeVar

from ad_seller.storage import TransactionError

from .calls import Call
from .loop import LoopThread, is_current

P = ParamSpec("P")
R = TypeVar("R")

_entered: set[Dialogue] = set()  # an event loop itself keeps no task alive


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
        self._held: AbstractAsyncContextManager[Any] | None = None  # entered, and to be left by the task at last
        self._over = False  # no more steps are accepted; the thread says so
        self._dropped: weakref.ref[object] | None = None  # while nobody has told the task so
        self._served = False  # no more steps are made; the task says so

    def enter(self, inner: AbstractAsyncContextManager[Any], owner: object) -> None:
        """Enter ``inner`` in a task of the dialogue's own.

        If an interrupt keeps the thread from calling `finish`, as it can keep it from anything that is a call, the
        task leaves ``inner`` when ``owner`` is dropped.
        """
        self._dropped = weakref.ref(owner, lambda _: self.finish(Finished()))
        self._thread.soon(self._begin)
        self.run(self._enter, inner)

    def leave(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Leave what was entered, with what leaves the block."""
        self.run(self._leave, kind, error, trace)

    def run(self, function: Callable[P, Awaitable[R]], /, *args: P.args, **kwargs: P.kwargs) -> R:
        """Await ``function(*args, **kwargs)`` in the task and return its result.

        Raises:
            TransactionError: the dialogue is over, or was begun before this process was forked.
        """
        if self._over or not is_current(self._thread):
            raise _has_ended()
        self._thread.check()
        return Call(self._thread, function, args, kwargs).wait(self._put)

    def finish(self, outcome: Finished) -> None:
        """Let `serve` end with ``outcome``; called by the thread."""
        self._over = True
        if is_current(self._thread):
            self._thread.soon(self._put, outcome)
        self._dropped = None

    # --- in the event loop -----------------------------------------------------------------------------

    def _put(self, step: Call[Any] | Finished) -> None:
        if not self._served:
            self._steps.put_nowait(step)
        elif isinstance(step, Call):
            step.fail(_has_ended())

    def _begin(self) -> None:
        _entered.add(self)
        self._task = self._thread.loop.create_task(self.serve())

    async def _enter(self, inner: AbstractAsyncContextManager[Any]) -> None:
        await inner.__aenter__()
        self._held = inner

    async def _leave(self, *outcome: Any) -> None:
        inner, self._held = self._held, None
        assert inner is not None, "entered"  # noqa: S101
        await inner.__aexit__(*outcome)

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
            if self._held is not None:
                gone = asyncio.CancelledError("its thread was interrupted")
                await self._leave(type(gone), gone, None)
            _entered.discard(self)
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
