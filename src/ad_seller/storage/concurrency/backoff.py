"""How often, and after which pauses, something is tried again."""

from __future__ import annotations

import asyncio

#: Tries of `update` and `transact` before they give up. Their pauses are about seven seconds in all: on a busy
#: machine a slow process can lose many times in a row to others.
DEFAULT_ATTEMPTS = 300

_FIRST = 0.00005  #: seconds
_GROWTH = 1.2
_LONGEST = 0.05  #: seconds


async def backoff(attempt: int) -> None:
    """Sleep a random time between 0 and a bound that grows by a fifth with each attempt ("full jitter").

    It does not begin with more and does not double: who has just won goes on at once, so those who have lost must
    be quick, or they lose again until the winner has had enough.

    Source of the method: https://aws.amazon.com/blogs/architecture/exponential-backoff-and-jitter/
    """
    import random  # costs half a millisecond of our start

    await asyncio.sleep(random.uniform(0, min(_LONGEST, _FIRST * _GROWTH ** min(attempt, 50))))  # noqa: S311
