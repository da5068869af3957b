"""Expired entries reclaimed in the background, in small steps."""

from __future__ import annotations

import asyncio
import logging

from ..driver.engine import SWEEP_PAUSE, SWEEP_ROWS, Engine

log = logging.getLogger("ad_seller.storage")


async def sweep_on(engine: Engine, interval: float) -> None:
    """Sweep every ``interval`` seconds, for ever."""
    while True:
        await asyncio.sleep(interval)
        try:
            await sweep_all(engine)
        except Exception as error:
            log.warning("Expired entries could not be reclaimed, will try again: %s", error)


async def sweep_all(engine: Engine) -> int:
    """Remove expired entries step by step, with a pause after each; return how many there were."""
    total = removed = await engine.sweep(SWEEP_ROWS)
    steps = 1
    while engine.sweeps_on(steps, removed):
        await asyncio.sleep(SWEEP_PAUSE)
        removed = await engine.sweep(SWEEP_ROWS)
        total += removed
        steps += 1
    return total
