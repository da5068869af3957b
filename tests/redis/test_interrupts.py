"""What a signal handler raises while a connection sends and reads: no answer goes astray, nobody waits for ever."""

from __future__ import annotations

import asyncio
import sys
from types import FrameType
from typing import Any

from ad_seller.storage import StorageError, UnknownOutcomeError
from ad_seller.storage.redis import connection
from ad_seller.storage.redis_backend import RedisBackend
from tests.sync.interrupts import Interrupt, SoftTimeLimitError

STEPS = ("send", "data_received", "_take", "_settle", "_judged", "_break", "_fail")


class InTheConnection(Interrupt):
    """Comes there alone: asyncio is not made for it. Nor while one is made, which costs a descriptor."""

    def _event(self, frame: FrameType, event: str, argument: Any) -> None:
        if frame.f_code.co_filename == connection.__file__ and frame.f_code.co_name in STEPS:
            super()._event(frame, event, argument)


async def test_at_each_point(redis_url: str, redis_prefix: str) -> None:
    asyncio.get_running_loop().set_exception_handler(lambda *_: None)
    at, met = 0, set()
    async with RedisBackend(redis_url, redis_prefix, timeout=2) as store:
        await store.set_many({f"order:{n}": n for n in range(10)})
        await store.keys("order:*")
        while True:
            interrupt = InTheConnection(SoftTimeLimitError, at)
            calls: list[Any] = [store.set(f"{at}:{n}", n) for n in range(2)]
            calls += [store.get(f"order:{n}") for n in range(3)]
            calls += [store.keys("order:*"), store.increment(f"count:{at}")]
            tasks = [asyncio.ensure_future(call) for call in calls]
            sys.setprofile(interrupt._event)
            try:
                async with asyncio.timeout(20):
                    told: list[Any] = await asyncio.gather(*tasks, return_exceptions=True)
            finally:
                sys.setprofile(None)
            if interrupt.where is None:
                break
            met.add(interrupt.where)
            for n, answer in enumerate(told[:2]):
                is_stored = await store.get(f"{at}:{n}") == n
                if is_stored:
                    assert answer is None or not is_untrue(answer), (interrupt.where, answer)
                else:
                    assert answer is not None, interrupt.where
            for n, answer in enumerate(told[2:5]):
                assert isinstance(answer, Exception) or answer == n, interrupt.where
            assert isinstance(told[5], Exception) or len(told[5]) == 10, interrupt.where
            assert isinstance(told[6], Exception) or told[6] == 1, interrupt.where
            async with asyncio.timeout(10):
                await store.set("next", at)
                assert await store.count("order:*") == 10
            at += 1
    assert {"RedisConnection.send", "RedisConnection._take"} <= met


def is_untrue(answer: Any) -> bool:
    """Tell whether somebody hears that a write which is there was not made."""
    return isinstance(answer, StorageError) and not isinstance(answer, UnknownOutcomeError)
