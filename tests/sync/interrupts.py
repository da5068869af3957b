"""Interrupts of the running thread, at each point where CPython lets one in."""

from __future__ import annotations

import gc
import logging
import sys
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from types import FrameType
from typing import Any

#: What runs where something is dropped: Python itself ignores what is raised there. `logging` is left out, too: an
#: interrupt inside of it may leave it locked.
_DROPPING = ("__del__", "remove", "_remove", "<genexpr>")


class SoftTimeLimitError(Exception):
    """As that of Celery: raised by a signal handler, and an Exception."""


class Interrupt:
    """Runs a function and raises an error at one point of its way.

    CPython looks for interrupts when a function of Python has been entered and when one of C has returned, which
    are events of a profiler, and where a loop goes back.

    Args:
        error: what is raised.
        at: the number of points that are passed before.

    Attributes:
        where: the function that was interrupted; None if it was over before.
    """

    def __init__(self, error: type[BaseException], at: int) -> None:
        """Nothing runs yet."""
        self.where: str | None = None
        self._error = error
        self._left = at

    def run(self, function: Callable[[], object]) -> None:
        """Run it; what it raises is raised, unless it was interrupted, and may have made another error of that."""
        gc.disable()
        sys.setprofile(self._event)
        try:
            function()
        except (self._error, Exception):
            if self.where is None:
                raise
        finally:
            sys.setprofile(None)
            gc.enable()

    def _event(self, frame: FrameType, event: str, argument: Any) -> None:
        if event not in ("call", "c_return") or frame.f_code is Interrupt.run.__code__:
            return
        if frame.f_code.co_name in _DROPPING or frame.f_code.co_filename == logging.__file__:
            return
        self._left -= 1
        if self._left < 0 and self.where is None:
            self.where = frame.f_code.co_qualname
            raise self._error


def everywhere(error: type[BaseException], function: Callable[[], object]) -> Iterator[str]:
    """Interrupt ``function`` at its first point, its second, ... its last, and yield which function that was in."""
    at = 0
    while True:
        interrupt = Interrupt(error, at)
        interrupt.run(function)
        if interrupt.where is None:
            return
        yield interrupt.where
        at += 1


def is_free(lock: threading.RLock) -> bool:
    """Tell whether another thread can take a lock."""

    def take() -> bool:
        taken = lock.acquire(blocking=False)
        if taken:
            lock.release()
        return taken

    with ThreadPoolExecutor(1) as others:
        return others.submit(take).result()
