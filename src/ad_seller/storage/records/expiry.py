"""Time to live: what a TTL may be, and the clock that decides where no server does."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from datetime import timedelta

from ..errors import InvalidTTLError, shown

#: Seconds since the epoch. Replaceable, so that tests need not wait.
Clock = Callable[[], float]

system_clock: Clock = time.time

_NOISE = 0.001  #: seconds by which two readings of one clock may disagree
_GAP = 0.02  #: seconds between two readings, up to which a look at the other clock is spared
_STEP = 0.5  #: seconds by which a clock must have been set back to be worth telling others

_monotonic = time.monotonic


class SteadyClock:
    """A clock that goes on when the one that it reads is set back.

    So what has expired stays expired, and no entry lives longer than its time to live. It follows the given clock,
    and the time that has passed since it last did when that is later. For a clock of a test, which has no such
    measure, it makes up for each step back.

    Args:
        wall: seconds since the epoch.
    """

    def __init__(self, wall: Clock) -> None:
        """Begin with what the clock says now."""
        self._wall = wall
        self._is_real = wall is system_clock
        self._offset = 0.0
        self._last = math.inf  # the last reading that was followed; infinite while we are ahead
        self.anchor = (wall(), _monotonic())

    def __call__(self) -> float:
        """Return the time; single assignments only, so any thread may ask."""
        wall = self._wall()
        if 0.0 <= wall - self._last < _GAP:
            self._last = wall
            return wall
        return self._with_care(wall, _monotonic())

    def _with_care(self, wall: float, since: float) -> float:
        last, then = self.anchor
        if not self._is_real:
            self._offset += max(0.0, last - wall)
            self.anchor = (wall, since)
            return wall + self._offset
        least = last + (since - then)
        if wall >= least:
            self.anchor = (wall, since)
        self._last = math.inf if least - wall > _NOISE else wall
        return least if self._last == math.inf else wall

    @property
    def is_ahead(self) -> bool:
        """Whether the system's clock was set back by half a second or more."""
        now = self()
        return self._is_real and self._last == math.inf and now - self._wall() > _STEP

    def follow(self, anchor: tuple[float, float]) -> None:
        """Be no earlier than another process's clock; an anchor holds until the machine is started anew."""
        if self._is_real and anchor[0] - anchor[1] > self.anchor[0] - self.anchor[1]:
            self.anchor, self._last = anchor, math.inf


TTL = int | float | timedelta

#: 2**53 is the largest run of whole milliseconds that a double (SQLite's REAL) counts exactly; half of it
#: leaves room for adding the present time.
MAX_TTL_MS = 2**52


def check_ttl(ttl: object, *, key: str | None = None) -> int | None:
    """Return ``ttl`` in whole milliseconds, rounded up so that nothing expires early; None stays None.

    Args:
        ttl: positive, finite seconds (int or float) or a ``timedelta``; None for no expiry.
        key: the key to name in the error.

    Raises:
        InvalidTTLError: it is anything else, or too large to represent.
    """
    if ttl is None:
        return None
    try:
        if isinstance(ttl, timedelta):
            milliseconds: float = ttl / timedelta(milliseconds=1)
        elif isinstance(ttl, int | float) and not isinstance(ttl, bool):
            milliseconds = float(ttl) * 1000
        else:
            raise _invalid(ttl, key)
        if not 0 < milliseconds <= MAX_TTL_MS:  # false for NaN
            raise _invalid(ttl, key)
        return math.ceil(milliseconds)
    except InvalidTTLError:
        raise
    except Exception as error:  # ints too large for a float, objects that raise what they like
        raise _invalid(ttl, key) from error


def _invalid(ttl: object, key: str | None) -> InvalidTTLError:
    return InvalidTTLError(
        f"A TTL is a positive, finite number of seconds (at most {MAX_TTL_MS // 1000}) or a timedelta, "
        f"and None means no expiry; got {type(ttl).__name__} {shown(ttl)}",
        key=key,
    )
