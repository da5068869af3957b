"""Reads on the event loop's own thread, as long as nothing makes them wait."""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Callable
from contextlib import suppress
from typing import Concatenate, ParamSpec, TypeVar

from ..errors import StoreUnavailableError
from .handle import Handle, let_go
from .log import LogGoneError
from .openfiles import OpenFile

P = ParamSpec("P")
R = TypeVar("R")
S = TypeVar("S")

#: After these the reader on its thread does it: it waits where this must not, and reports what is wrong.
LOCAL_FAILURES = (sqlite3.Error, LogGoneError, StoreUnavailableError)


class LocalReader(Handle):
    """A connection for short reads on the threads of event loops: what would have to wait is not done.

    Args:
        connector: opens a connection.
        file: what it reads.
    """

    def __init__(self, connector: Callable[[], sqlite3.Connection], file: OpenFile) -> None:
        """Nothing is open yet."""
        super().__init__(connector)
        self.file = file
        self._is_closed = False

    def opened(self) -> sqlite3.Connection:
        """See `Handle.opened`; a thread that comes after `close_for_good` opens nothing."""
        if self._is_closed:
            raise sqlite3.ProgrammingError("closed")
        return super().opened()

    def attempt(
        self,
        otherwise: S,
        function: Callable[Concatenate[sqlite3.Connection, P], R],
        *arguments: P.args,
        **named: P.kwargs,
    ) -> R | S:
        """Return what ``function`` reads, or ``otherwise``; an interrupted thread leaves nothing locked or open."""
        try:
            if not self.busy.acquire(blocking=False):
                return otherwise
            try:
                if time.perf_counter() > self.file.next_look:
                    self.file.check()
                return function(self.db or self.opened(), *arguments, **named)
            except LOCAL_FAILURES:
                return otherwise
            except BaseException:
                self.drop()
                raise
            finally:
                self.busy.release()
        except BaseException:
            let_go(self)
            raise

    def close_for_good(self) -> None:
        """Close it; nothing is written over it, so nobody is told of errors."""
        self._is_closed = True
        with suppress(sqlite3.Error):
            self.file.leave(self)
