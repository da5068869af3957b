"""An engine for the tests of batching, which answers when it is allowed to."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any

from ad_seller.storage.runtime.batcher import Batcher, Request


class Engine:
    """A bulk call that answers each item with twice itself, when it is allowed to."""

    def __init__(self) -> None:
        self.batches: list[list[int]] = []
        self.running = 0
        self.most_running = 0
        self.open = asyncio.Event()
        self.open.set()
        self.failures: list[BaseException] = []

    async def run(self, items: list[int]) -> Sequence[int]:
        self.batches.append(items)
        self.running += 1
        self.most_running = max(self.most_running, self.running)
        try:
            await ticks()
            await self.open.wait()
            if self.failures:
                raise self.failures.pop(0)
            return [2 * item for item in items]
        finally:
            self.running -= 1

    @property
    def items(self) -> list[int]:
        return [item for batch in self.batches for item in batch]


class ExplainedError(Exception):
    """Which request failed, whether it had been sent, and why."""

    def __init__(self, error: BaseException, request: Request[int, int]) -> None:
        super().__init__(repr(error))
        self.cause = error
        self.items = list(request.items)
        self.sent = request.sent


def batcher_of(engine: Engine, *, timeout: float = 5.0, **settings: Any) -> Batcher[int, int]:
    return Batcher(engine.run, explain=ExplainedError, timeout=timeout, **settings)


async def ticks(count: int = 5) -> None:
    for _ in range(count):
        await asyncio.sleep(0)


def submit(batcher: Batcher[int, int], *items: int) -> asyncio.Task[list[int]]:
    return asyncio.ensure_future(batcher.submit(items))
