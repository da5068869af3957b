"""Those who wait for a connection, what they hear if none comes, and the pause before another one is tried."""

from __future__ import annotations

import asyncio
import math
from typing import Final

_PAUSE: Final = 0.01  #: seconds; doubled each time
_LONGEST: Final = 0.05  #: the part of a call's time


class NoneFreeError(TimeoutError):
    """There was no connection in the given time, and nothing was sent; one may come later.

    Attributes:
        refusal: why no further one could be made; None: there are as many as may be.
    """

    def __init__(self, refusal: str | None) -> None:
        """Say both."""
        super().__init__(
            "no free connection in time" + (f", and no other could be made: {refusal}" if refusal else "")
        )
        self.refusal = refusal


class Waiter:
    """One in the queue for a connection, ``since`` when it was first in it."""

    def __init__(self, loop: asyncio.AbstractEventLoop, since: float) -> None:
        """It waits from now on."""
        self.since = since
        self.future: asyncio.Future[None] = loop.create_future()

    @property
    def has_been_woken(self) -> bool:
        """Whether there may be a connection for it."""
        return self.future.done() and not self.future.cancelled() and self.future.exception() is None

    def fail(self, error: Exception) -> None:
        """Tell it why there is none."""
        if not self.future.done():
            self.future.set_exception(error)


class Pause:
    """What is waited before another session is begun, where the last ones had ended before they were used.

    Nobody is told of that: whoever waits for a connection goes on waiting.

    Args:
        timeout: seconds that a call may take; the longest pause is a small part of it.
    """

    def __init__(self, timeout: float) -> None:
        """There is none yet."""
        self._longest = _LONGEST * timeout
        self._seconds = 0.0
        self._until = -math.inf
        self._loop = asyncio.get_running_loop()

    @property
    def is_on(self) -> bool:
        """Whether the last session had ended before it was used."""
        return self._seconds > 0

    def lengthen(self) -> None:
        """Take note of a session that had ended; of several that were begun at once, only the first counts."""
        now = self._loop.time()
        if now >= self._until:
            self._seconds = min(max(2 * self._seconds, _PAUSE), self._longest)
            self._until = now + self._seconds

    def end(self) -> None:
        """Take note of a session that was used, or of a refusal, which is told."""
        self._seconds, self._until = 0.0, -math.inf

    async def over(self) -> None:
        """Return when the pause is over."""
        if (left := self._until - self._loop.time()) > 0:
            await asyncio.sleep(left)
