"""A clock that a test sets."""

from __future__ import annotations


class SetClock:
    """Seconds since the epoch, as told.

    Attributes:
        now: what the next look at the clock gives.
    """

    def __init__(self, now: float = 1_700_000_000.0) -> None:
        """Start at ``now``."""
        self.now = now

    def __call__(self) -> float:
        """Return the time."""
        return self.now
