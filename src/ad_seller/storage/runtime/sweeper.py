"""Expired entries reclaimed in the background, in small steps."""

from __future__ import annotations

import asyncio
import logging

from ..concurrency.tasks import later
from ..driver.engine import SWEEP_PAUSE, SWEEP_ROWS, Engine

log = logging.getLogger("ad_seller.storage")


class Sweeper:
    """Sweeps an engine now and then, while its event loop runs.

    Between two rounds there is a timer and no task: a loop that is closed without a word leaves nothing pending.

    Args:
        engine: what is swept.
        interval: seconds between two rounds.
    """

    def __init__(self, engine: Engine, interval: float) -> None:
        """Begin with a pause."""
        self._engine = engine
        self._interval = interval
        self._loop = asyncio.get_running_loop()
        self._task: asyncio.Task[None] | None = None
        self._wait()

    async def stop(self) -> None:
        """End the round that is under way; there will be no other."""
        self._timer.cancel()
        task, self._task = self._task, None
        if task is not None:
            task.cancel()
            await asyncio.wait([task])

    def _wait(self) -> None:
        self._timer = self._loop.call_later(self._interval, self._begin)

    def _begin(self) -> None:
        self._task = later(self._round())

    async def _round(self) -> None:
        try:
            await sweep_all(self._engine)
        except Exception as error:
            log.warning("Expired entries could not be reclaimed, will try again: %s", error)
        self._task = None
        self._wait()


async def sweep_all(engine: Engine) -> int:
    """Remove expired entries step by step, with a pause after each; return how many there were."""
    before = engine.reclaimed
    steps = 1
    while engine.sweeps_on(steps, await _step(engine)):
        await asyncio.sleep(SWEEP_PAUSE)
        steps += 1
    return engine.reclaimed - before


async def _step(engine: Engine) -> int:
    removed = await engine.sweep(SWEEP_ROWS)
    engine.reclaimed += removed
    return removed
