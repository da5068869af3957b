"""A lock under which something is opened, and whose failure all hear who waited for it."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import TypeVar

from .tasks import copied

R = TypeVar("R")


class Gate(asyncio.Lock):
    """The lock of one event loop under which something is opened and closed.

    Who waits while somebody opens in vain makes at most one attempt, with all the time that it has: of those who
    came before that began, the first makes it, and the others hear how it ended.
    """

    def __init__(self) -> None:
        """Nothing was tried yet."""
        super().__init__()
        self._attempts = 0
        self._failed = 0  # the number of the last attempt to which the store gave no answer
        self._failure: OSError | None = None

    async def opening(self, attempt: Callable[[], Awaitable[R]]) -> R:
        """Return what ``attempt`` does under the lock; if one that began since got no answer, raise that."""
        before = self._attempts
        async with self:
            if self._failure is not None and self._failed > before:
                raise copied(self._failure)
            self._attempts += 1
            self._failure = None
            try:
                return await attempt()
            except OSError as error:  # no answer from the store of any backend; what else fails is somebody's own
                self._failed, self._failure = self._attempts, copied(error)  # which holds no frames of its caller
                raise
