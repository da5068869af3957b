"""The one event loop that answers all calls without await of this process, in a daemon thread of its own."""

from __future__ import annotations

import asyncio
import logging
import os
import sys
import threading
from collections.abc import Callable
from typing import Any

from ad_seller.storage import NotConnectedError, WrongThreadError

log = logging.getLogger("ad_seller.storage")


class LoopThread:
    """An event loop that runs until the process ends."""

    def __init__(self) -> None:
        """Make it; `start` starts it."""
        # This one, whatever the application's policy: calls come from threads, and nothing else is asked of it.
        self.loop = asyncio.SelectorEventLoop()
        self._running = threading.Lock()
        self._ident = 0

    def start(self) -> None:
        """Have it run in a thread; once more, where it is not known whether that was done, it does nothing."""
        threading.Thread(target=self._run, name="ad_seller.storage.sync", daemon=True).start()

    def abandon(self) -> bool:
        """Close it and say so, unless it runs: `threading` can make another error of an interrupt."""
        abandoned = self._running.acquire(blocking=False)
        if abandoned:
            self.loop.close()
        return abandoned

    def _run(self) -> None:
        if not self._running.acquire(blocking=False):
            return
        self._ident = threading.get_ident()
        while True:
            try:
                self.loop.run_forever()
            except BaseException:  # others are waiting; what is no Exception leaves the loop, from whichever task
                log.exception("The event loop of calls without await was interrupted; it goes on.")

    def check(self) -> None:
        """Raise an error of ours where a caller would wait for ever.

        Raises:
            WrongThreadError: this is the thread that would have to answer.
            NotConnectedError: the interpreter is ending, and with it every daemon thread.
        """
        if threading.get_ident() == self._ident:
            raise WrongThreadError(
                "A call without await was made where it would wait for itself: in a function that runs in the "
                "event loop of these calls, such as the change given to update(). Compute there, and call before "
                "or after."
            )
        if sys.is_finalizing():
            raise NotConnectedError("The interpreter is ending; no call can be answered any more.")

    def soon(self, function: Callable[..., object], *args: Any) -> None:
        """Have ``function`` called in the event loop, in a copy of this thread's context."""
        self.loop.call_soon_threadsafe(function, *args)


class _OfThisProcess:
    """Leads to the loop thread, which is started by the first call."""

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.made: LoopThread | None = None  # and perhaps started: who began with that may have been interrupted
        self.thread: LoopThread | None = None
        self.of_parents: list[LoopThread] = []

    def started(self) -> LoopThread:
        """Return the one that runs.

        Raises:
            NotConnectedError: the interpreter is ending and starts no more threads.
        """
        with self.lock:
            if self.thread is None:
                self.made = made = self.made or LoopThread()
                try:
                    made.start()
                except RuntimeError as error:
                    self.made = None if made.abandon() else made
                    raise NotConnectedError(f"No call without await can be made any more: {error}") from error
                self.thread = made
            return self.thread

    def forked(self) -> None:
        """Start over in a child: threads do not come along; the loop does, but it is the parent's to close."""
        self.lock = threading.Lock()
        if self.made is not None:
            self.of_parents.append(self.made)
        self.made = self.thread = None


_here = _OfThisProcess()
os.register_at_fork(after_in_child=_here.forked)


def loop_thread() -> LoopThread:
    """Return the loop thread of this process, for a call that will wait for it.

    Raises:
        WrongThreadError, NotConnectedError: waiting would never end.
    """
    thread = _here.thread or _here.started()
    thread.check()
    return thread


def is_current(thread: LoopThread) -> bool:
    """Tell whether ``thread`` is that of this process, not of one that it was forked from."""
    return _here.thread is thread
