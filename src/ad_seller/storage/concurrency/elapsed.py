"""Time that passes for everybody else while this machine sleeps.

The clock of an event loop is CLOCK_MONOTONIC, which stands still on a suspended Linux, while the clock of the store
and of other processes goes on. So what another process may take over after a time is judged by this clock
(https://man7.org/linux/man-pages/man2/clock_gettime.2.html). How long a call waits is the loop's own matter.
"""

from __future__ import annotations

import time


def elapsed() -> float:
    """Return seconds since some moment, those asleep included where the system counts them."""
    clock: int | None = getattr(time, "CLOCK_BOOTTIME", None)
    return time.monotonic() if clock is None else time.clock_gettime(clock)
