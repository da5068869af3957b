"""How many coroutines a call passes on its way: each costs about a microsecond, and a reader a jump."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from ad_seller.storage.redis_backend import RedisBackend
from tests.passed import passed


async def test_a_set_passes_eight_coroutines(store: RedisBackend) -> None:
    for _ in range(3):
        await store.set("a", 1)  # the script is known, a connection is there
    names = await passed(store.set("a", 2))
    assert len(names) <= 8, names


@pytest.mark.parametrize("ask", [RedisBackend.keys, RedisBackend.count], ids=["keys", "count"])
async def test_a_listing_passes_ten_coroutines(
    store: RedisBackend, ask: Callable[[RedisBackend, str], Awaitable[Any]]
) -> None:
    await store.set("a", 1)
    for _ in range(3):
        await ask(store, "*")  # the index is trusted, its script known, and of all writes has been told
    names = await passed(ask(store, "*"))
    assert len(names) <= 10, names
