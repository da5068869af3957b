"""What the generated methods stand on: how functions of the caller go into the event loop, or stay out of it."""

from __future__ import annotations

import inspect
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from typing import Any, Generic, ParamSpec, TypeVar

from ad_seller.storage import CorruptValueError, InvalidArgumentError, OnCorrupt, StorageBackend, Transaction

P = ParamSpec("P")
R = TypeVar("R")
V = TypeVar("V")

#: What the methods are called on, in the event loop.
Inner = TypeVar("Inner", StorageBackend, Transaction)


class Methods(Generic[Inner]):
    """Methods without await, on top of an object whose methods are awaited in the event loop."""

    _inner: Inner

    def _run(self, function: Callable[P, Awaitable[R]], /, *args: P.args, **kwargs: P.kwargs) -> R:
        """Await ``function(*args, **kwargs)`` in the event loop and return its result."""
        raise NotImplementedError

    def _read(self, function: Callable[P, Awaitable[R]], /, *args: P.args, **kwargs: P.kwargs) -> R:
        """Do the same for a method of the interface that awaits nothing but `get`."""
        return self._run(function, *args, **kwargs)


class EscapedError(Exception):
    """Carries what is no Exception out of the event loop, which it would interrupt.

    Attributes:
        error: what a function of the caller raised.
    """

    def __init__(self, error: BaseException) -> None:
        """Keep it."""
        super().__init__(error)
        self.error = error


def in_loop(change: Callable[[Any], V]) -> Callable[[Any], V]:
    """Return ``change`` as a function that may run in the event loop, whatever it raises."""
    if not callable(change):
        raise InvalidArgumentError(f"The change must be a function, not a {type(change).__name__}")

    def changed(current: Any) -> V:
        try:
            return change(current)
        except Exception:
            raise
        except BaseException as error:
            raise EscapedError(error) from error

    return changed


@contextmanager
def reported(on_corrupt: OnCorrupt) -> Iterator[OnCorrupt]:
    """Yield what collects the errors of a listing; ``on_corrupt`` is called with them after it, in this thread.

    Raises:
        InvalidArgumentError: it is no function.
    """
    if on_corrupt is None:
        yield None
        return
    if not callable(on_corrupt):
        raise InvalidArgumentError(f"on_corrupt is a function or None, not a {type(on_corrupt).__name__}")
    errors: list[CorruptValueError] = []
    yield errors.append
    for error in errors:
        on_corrupt(error)


def check_plain(work: Callable[..., Any]) -> None:
    """Refuse what is no plain function, before anything is done.

    Raises:
        InvalidArgumentError: it cannot be called, or it is a coroutine or generator function.
    """
    if not callable(work):
        raise InvalidArgumentError(f"The work must be a function of a transaction, not a {type(work).__name__}")
    if inspect.iscoroutinefunction(work) or inspect.isasyncgenfunction(work) or inspect.isgeneratorfunction(work):
        raise _not_plain()


def plain_result(result: R) -> R:
    """Return what a work function returned, unless it is something to be awaited, or a generator: nothing has run.

    Raises:
        InvalidArgumentError: it is; nothing is written.
    """
    if inspect.isawaitable(result) or inspect.isasyncgen(result) or inspect.isgenerator(result):
        if inspect.iscoroutine(result):
            result.close()
        raise _not_plain()
    return result


def _not_plain() -> InvalidArgumentError:
    return InvalidArgumentError(
        "Without await the work must be a plain function: write 'def', not 'async def', without 'yield'. Async "
        "functions go to the transact() and run_once() of an asynchronous backend."
    )
