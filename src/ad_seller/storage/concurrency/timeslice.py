"""Long computations on the event loop, in steps."""

from __future__ import annotations

import asyncio
import time

_PACE = 0.0005  #: seconds of work on the event loop after which other tasks get their turn


class TimeSlice:
    """Lets other tasks run when a long computation on the event loop has taken its share."""

    def __init__(self) -> None:
        """Start the clock."""
        self._since = time.perf_counter()

    @property
    def is_due(self) -> bool:
        """Whether it is time for `checkpoint`: asked for each of many small steps, because awaiting costs more."""
        return time.perf_counter() - self._since > _PACE

    async def checkpoint(self) -> None:
        """Yield to the event loop if it is time."""
        if self.is_due:
            await asyncio.sleep(0)
            self._since = time.perf_counter()
