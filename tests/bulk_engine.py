"""An engine for the tests of batching, which answers when it is allowed to."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import Any

from ad_seller.storage.driver.engine import Tell
from ad_seller.storage.runtime.batcher import Batcher
from ad_seller.storage.runtime.request import Request


class Engine:
    """A bulk call that answers each item with twice itself, when it is allowed to.

    Args:
        begins: whether it is begun without a task of the batcher.
    """

    def __init__(self, *, begins: bool = False) -> None:
        self.begins = begins
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


def batcher_of(
    engine: Engine, *, explain: Any = ExplainedError, timeout: float = 5.0, **settings: Any
) -> Batcher[int, int]:
    begin = begun_by(engine.run) if engine.begins else None
    return Batcher(engine.run, explain=explain, timeout=timeout, begin=begin, **settings)


def begun_by(
    run: Callable[[list[int]], Awaitable[Sequence[int | asyncio.Future[int]]]],
) -> Callable[[list[int], Tell[int]], None]:
    """Begin a bulk call as an engine does that has a thread for it."""

    def begin(items: list[int], tell: Tell[int]) -> None:
        async def work() -> None:
            try:
                results = await run(items)
            except BaseException as error:  # the thread goes on
                loop.call_soon(tell, None, error)
            else:
                loop.call_soon(tell, results, None)

        loop = asyncio.get_running_loop()
        works.add(task := loop.create_task(work()))
        task.add_done_callback(works.discard)

    works: set[asyncio.Task[None]] = set()
    return begin


async def ticks(count: int = 5) -> None:
    for _ in range(count):
        await asyncio.sleep(0)


def submit(batcher: Batcher[int, int], *items: int) -> asyncio.Task[list[int]]:
    return asyncio.ensure_future(batcher.submit(items))
