"""When to look again: soon after something was found, at once when something is told, rarely when nothing comes."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from types import TracebackType
from typing import Any, Final, Self

from ..concurrency.wakeups import Wakeup
from ..errors import StorageError
from .stored import Stored

SHORTEST: Final = 0.02  #: seconds between two looks while something comes
UNHEARD: Final = 1.0  #: seconds between two looks after a while without anything, where others are not heard
HEARD: Final = 5.0  #: likewise, where everything that is stored wakes those who wait: in case that was lost
_MOST_IN_VAIN: Final = 4  #: doublings of the shortest pause while wake-ups lead to nothing


class Looks:
    """The pauses of one who looks for what is new under a prefix; ``with Looks(...) as looks``.

    Args:
        store: in which it looks.
        prefix: what the keys begin with.
        pause: waits for so many seconds and is woken by nothing, for tests.
    """

    def __init__(self, store: Stored, prefix: str, pause: Callable[[float], Any] | None = None) -> None:
        """Belong to the running event loop."""
        self._store = store
        self._prefix = prefix
        self._pause = pause
        self._wakeup = Wakeup(store._stored_as(prefix))
        self._idle = 0  # looks that found nothing, one after the other
        self._heard = False  # whether others are heard since before the last look
        self._in_vain = 0  # those of them that somebody's wake-up was the reason for

    def __enter__(self) -> Self:
        """Hear from now on of what is stored."""
        self._wakeup.__enter__()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Hear no more."""
        self._wakeup.__exit__(kind, error, trace)

    async def rest(self, *, found: bool, most: float | None = None) -> None:
        """Wait until it is time for the next look.

        Args:
            found: whether the last one has found something.
            most: the longest pause, in seconds; None for what is right by whether others are heard.
        """
        if found:
            self._idle = self._in_vain = 0
            await self._sleep(SHORTEST if most is None else min(SHORTEST, most))
            return
        self._idle = min(self._idle + 1, 20)
        before, self._heard = self._heard, await self._hears()
        longest = HEARD if self._heard else UNHEARD
        if not (before and self._heard):  # something may have come before we heard
            longest = min(longest, SHORTEST * 2**self._idle)
        await self._wait(longest if most is None else min(longest, most))

    async def _wait(self, seconds: float) -> None:
        if self._pause is not None:
            await self._pause(seconds)
            return
        first = min(seconds, SHORTEST * 2**self._in_vain)
        await asyncio.sleep(first)  # what comes together is read together
        rung = seconds > first and await self._wakeup.wait(seconds - first)
        self._in_vain = min(self._in_vain + 1, _MOST_IN_VAIN) if rung else 0

    async def _sleep(self, seconds: float) -> None:
        await (self._pause or asyncio.sleep)(seconds)

    async def _hears(self) -> bool:
        try:
            return await self._store._hears(self._prefix)
        except StorageError:  # the next look says what is wrong
            return False
