"""How late the event loop is: what a busy machine adds to any call, in tests of time-outs."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager


@asynccontextmanager
async def loop_lateness() -> AsyncIterator[list[float]]:
    """Yield by how much a sleep came late, again and again: what a busy machine adds to any call."""
    late = [0.0]

    async def watch() -> None:
        while True:
            before = time.perf_counter()
            await asyncio.sleep(0.01)
            late.append(time.perf_counter() - before - 0.01)

    watching = asyncio.create_task(watch())
    try:
        yield late
    finally:
        watching.cancel()
