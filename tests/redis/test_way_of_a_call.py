"""How many coroutines a call passes on its way: each costs about a microsecond, and a reader a jump."""

from __future__ import annotations

import inspect
import sys
from collections.abc import Awaitable, Callable
from types import FrameType
from typing import Any

import pytest

from ad_seller.storage.redis_backend import RedisBackend


async def passed(call: Awaitable[Any]) -> list[str]:
    """Return the names of our coroutines that run until the call is answered, each as often as it was called."""
    frames: list[FrameType] = []

    def see(frame: FrameType, event: str, arg: object) -> None:
        code = frame.f_code
        ours = code.co_flags & inspect.CO_COROUTINE and "/ad_seller/" in code.co_filename
        if event == "call" and ours and not any(one is frame for one in frames):
            frames.append(frame)

    sys.setprofile(see)
    try:
        await call
    finally:
        sys.setprofile(None)
    return [frame.f_code.co_qualname for frame in frames]


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
