"""A lock under which something is opened, and whose failure all hear who waited for it."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Awaitable, Callable
from typing import TypeVar

from .tasks import copied

R = TypeVar("R")


class Gate(asyncio.Lock):
    """The lock of one event loop under which something is opened and closed.

    Who waits while somebody's attempt to open fails does not begin another one: each would wait as long as those
    before, one after the other.
    """

    def __init__(self) -> None:
        """Nothing has failed."""
        super().__init__()
        self._failed = -math.inf  # when the last attempt ended
        self._failure: OSError | None = None

    async def opening(self, attempt: Callable[[], Awaitable[R]]) -> R:
        """Return what ``attempt`` does under the lock; if the last one got no answer since the call, raise that."""
        now = asyncio.get_running_loop().time
        came = now()
        async with self:
            if self._failure is not None and self._failed >= came:
                raise copied(self._failure)
            self._failure = None
            try:
                return await attempt()
            except (
                OSError
            ) as error:  # of any backend whose store does not answer; what else fails is somebody's own
                self._failed, self._failure = now(), error
                raise
