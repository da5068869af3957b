"""Ids that sort by the time of their making."""

from __future__ import annotations

import os
import time
import uuid

from ..concurrency.forks import fork_safe_lock
from ..errors import InvalidArgumentError, shown

_FRACTION_BITS = 12  #: of a millisecond, in place of the first random bits
TICKS_PER_SECOND = 1_000 << _FRACTION_BITS  #: of an id
_RANDOM_BITS = 62

_lock = fork_safe_lock()
_last = 0  # milliseconds and their fraction, of the id that was made last


def new_id(prefix: str = "") -> str:
    """Return ``prefix`` and an id that is greater than all that this process made before.

    A UUID of version 7 (RFC 9562, section 5.7; its fraction of a millisecond by section 6.2, method 3), as
    lower-case text: the ids of several processes sort by their clocks, those of one process by the order of making,
    whatever its clock does, in any number of threads, and after a fork.

    Args:
        prefix: what stands before it, e.g. ``ORD-``.

    Raises:
        InvalidArgumentError: the prefix is no str.
    """
    global _last
    if not isinstance(prefix, str):
        raise InvalidArgumentError(f"The prefix of an id is a str, not {shown(prefix)}")
    now = _ticks(time.time_ns())
    with _lock:
        _last = now = max(now, _last + 1)
    return prefix + id_at(now, int.from_bytes(os.urandom(8)))


def id_at(ticks: int, rest: int) -> str:
    """Return the id of a moment.

    Args:
        ticks: the time since 1970, `TICKS_PER_SECOND`.
        rest: the last 62 bits; higher ones are ignored.
    """
    milliseconds, fraction = divmod(ticks, 1 << _FRACTION_BITS)
    high = (milliseconds << 16) | 0x7000 | fraction
    low = (0b10 << _RANDOM_BITS) | (rest & ((1 << _RANDOM_BITS) - 1))
    return str(uuid.UUID(int=(high << 64) | low))


def _ticks(nanoseconds: int) -> int:
    return (nanoseconds << _FRACTION_BITS) // 1_000_000
