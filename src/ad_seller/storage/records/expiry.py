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
