"""A bulk call whose results come in part later: nobody waits for those of others."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import pytest

from ad_seller.storage.runtime.batcher import Batcher
from ad_seller.storage.runtime.request import Request


class SlowForSome:
    """Doubles numbers; those from 100 on when it is told to."""

    def __init__(self) -> None:
        self.later: dict[int, asyncio.Future[int]] = {}

    async def run(self, items: list[int]) -> Sequence[int | asyncio.Future[int]]:
        loop = asyncio.get_running_loop()
        self.later |= {item: loop.create_future() for item in items if item >= 100}
        return [self.later[item] if item >= 100 else 2 * item for item in items]


def batcher_of(engine: SlowForSome, timeout: float = 5.0) -> Batcher[int, int]:
    def explain(error: BaseException, request: Request[int, int]) -> BaseException:
        return error

    return Batcher(engine.run, explain=explain, timeout=timeout)


async def test_each_caller_has_its_answer_when_it_is_there() -> None:
    engine = SlowForSome()
    batcher = batcher_of(engine)
    waiting = asyncio.ensure_future(batcher.submit([1, 100, 2, 101]))
    assert await batcher.submit([3]) == [6]
    assert await batcher.submit([4]) == [8]
    engine.later[101].set_result(202)
    await asyncio.sleep(0)
    assert not waiting.done()
    draining = asyncio.create_task(batcher.drain())
    await asyncio.sleep(0.01)
    assert not draining.done(), "a close waits for it"
    engine.later[100].set_result(200)
    assert await waiting == [2, 200, 4, 202]
    await draining


@pytest.mark.parametrize("turns", range(4))
async def test_a_close_in_the_moment_in_which_the_answer_comes(turns: int) -> None:
    engine = SlowForSome()
    batcher = batcher_of(engine)
    waiting = asyncio.ensure_future(batcher.submit([100]))
    while 100 not in engine.later:  # noqa: ASYNC110 - nothing else tells
        await asyncio.sleep(0)
    await asyncio.sleep(0)
    engine.later[100].set_result(200)
    for _ in range(turns):
        await asyncio.sleep(0)
    await batcher.drain()
    assert await waiting == [200]


async def test_the_engine_hears_that_nobody_waits_any_more() -> None:
    engine = SlowForSome()
    cancelled = asyncio.ensure_future(batcher_of(engine).submit([100]))
    late = asyncio.ensure_future(batcher_of(engine, timeout=0.05).submit([101]))
    await asyncio.sleep(0.01)
    cancelled.cancel()
    with pytest.raises(TimeoutError):
        await late
    await asyncio.wait([cancelled])
    assert engine.later[100].cancelled()
    assert engine.later[101].cancelled()


async def test_an_engine_that_ends_ends_the_call() -> None:
    engine = SlowForSome()
    call = asyncio.ensure_future(batcher_of(engine).submit([100]))
    await asyncio.sleep(0.01)
    engine.later[100].cancel()
    await asyncio.wait([call], timeout=20)
    assert call.cancelled()
