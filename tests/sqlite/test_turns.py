"""How much a task that does nothing but read gets in one turn of the event loop, before all others have theirs."""

from __future__ import annotations

import asyncio

from ad_seller.storage.sqlite_backend import SQLiteBackend


async def test_large_values_are_given_few_at_a_time(store: SQLiteBackend) -> None:
    """To decode one takes longer than to read it."""
    await store.set("large", ["x" * 20] * 4_000)
    in_this_turn, most = 0, 0

    async def watch() -> None:
        nonlocal in_this_turn
        while True:
            in_this_turn = 0
            await asyncio.sleep(0)

    watching = asyncio.create_task(watch())
    for _ in range(200):
        await store.get("large")
        in_this_turn += 1
        most = max(most, in_this_turn)
    watching.cancel()
    assert most <= 3
