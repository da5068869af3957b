"""How often, and after which pauses, something is tried again."""

from __future__ import annotations

import asyncio
import random

#: Tries of `update` and `transact` before they give up. With pauses of up to 50 ms this is about a second.
DEFAULT_ATTEMPTS = 50

_FIRST = 0.001  #: seconds
_LONGEST = 0.05  #: seconds


async def backoff(attempt: int) -> None:
    """Sleep a random time between 0 and a bound that doubles with each attempt ("full jitter").

    Source of the method: https://aws.amazon.com/blogs/architecture/exponential-backoff-and-jitter/
    """
    await asyncio.sleep(random.uniform(0, min(_LONGEST, _FIRST * 2 ** min(attempt, 10))))  # noqa: S311
