"""Those who wait for a connection, and what they hear if none comes."""

from __future__ import annotations

import asyncio

from ..driver.failures import NotSentError


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


def not_sent(error: BaseException) -> NotSentError:
    """Return the failure of an attempt to connect, for one of those who waited for it."""
    failure = NotSentError(str(error))
    failure.__cause__ = error.__cause__ or error
    return failure
