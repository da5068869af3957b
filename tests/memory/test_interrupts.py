"""An event loop that is interrupted while entries in memory are written: who called hears nothing untrue."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from types import FrameType
from typing import Any

import pytest

from ad_seller.storage import UnknownOutcomeError
from ad_seller.storage.memory_backend import MemoryBackend
from tests.sync.interrupts import Interrupt, SoftTimeLimitError


class OutsideOfAsyncio(Interrupt):
    """Interrupts nothing of asyncio itself, which then wakes those who wait never again."""

    def _event(self, frame: FrameType, event: str, argument: Any) -> None:
        if frame.f_code.co_filename not in (asyncio.base_events.__file__, asyncio.events.__file__):
            super()._event(frame, event, argument)


@pytest.mark.parametrize("error", [KeyboardInterrupt, SoftTimeLimitError])
async def test_writes_that_an_interrupt_meets(error: type[BaseException]) -> None:
    """At each point, while they are applied and while those who called are told, which ends a batch only once."""
    async with MemoryBackend() as store:
        await store.set("first", 0)
        batcher: Any = store._sessions._latest.commits  # type: ignore[union-attr]
        start, begin = batcher._start, batcher._begin
        interrupt = OutsideOfAsyncio(error, 0)

        def begin_interrupted(items: Any, tell: Any) -> None:
            interrupt.run(lambda: begin(items, tell))
            if interrupt.where is not None:
                raise error

        def start_and_go_on(*work: Any) -> None:
            with suppress(KeyboardInterrupt):
                start(*work)

        batcher._start, batcher._begin = start_and_go_on, begin_interrupted
        at, told = 0, []
        while at == 0 or interrupt.where is not None:
            interrupt = OutsideOfAsyncio(error, at)
            async with asyncio.timeout(20):
                answers = await asyncio.gather(
                    *(store.set(f"{at}:{n}", n) for n in range(3)), return_exceptions=True
                )
            assert not batcher.running, interrupt.where
            for n, answer in enumerate(answers):
                assert answer is None or isinstance(answer, UnknownOutcomeError), (interrupt.where, answer)
                assert answer is not None or await store.get(f"{at}:{n}") == n
            told += answers
            at += 1
        assert None in told
        assert any(isinstance(answer, UnknownOutcomeError) for answer in told)
