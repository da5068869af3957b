"""The store that a reader of a page has: an agent has run, and was cut off while it placed two orders."""

from __future__ import annotations

import asyncio
import contextlib
import sys

from ad_seller.storage import EffectUnknownError, Unknown, open_url


async def _cut_off(effect_id: str) -> None:
    raise ConnectionError(f"{effect_id}: the ad server has not answered")


async def _nobody_knows(effect_id: str) -> Unknown:
    return Unknown()


async def main(url: str) -> None:
    """Make it."""
    async with open_url(url) as storage:
        await storage.set_order("ORD-1", {"status": "draft"})
        await storage.log("event").append({"event_type": "deal.booked"})
        for number in (1, 2):
            with contextlib.suppress(EffectUnknownError, ConnectionError):
                await storage.effect(f"book:acme:request-{number}", "order", _cut_off, reconcile=_nobody_knows)


asyncio.run(main(*sys.argv[1:]))
