"""How often, and after which pauses, something is tried again."""

from __future__ import annotations

import asyncio
import random

#: Tries of `update` and `transact` before they give up. Their pauses are half a second and a bit in all.
DEFAULT_ATTEMPTS = 50

_STEP = 0.001  #: seconds
_LONGEST = 0.05  #: seconds


async def backoff(attempt: int) -> None:
    """Sleep a random time between 0 and a bound that grows by a step with each attempt ("full jitter").

    It does not double: those who have lost a few times would then wait longer than a burst of others takes, and
    be served last.

    Source of the method: https://aws.amazon.com/blogs/architecture/exponential-backoff-and-jitter/
    """
    await asyncio.sleep(random.uniform(0, min(_LONGEST, _STEP * (attempt + 1))))  # noqa: S311
