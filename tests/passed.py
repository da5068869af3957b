"""Which of our coroutines a call passes on its way: each costs about a microsecond, and a reader a jump."""

from __future__ import annotations

import inspect
import sys
from collections.abc import Awaitable
from types import FrameType
from typing import Any


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
