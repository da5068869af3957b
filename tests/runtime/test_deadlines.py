"""How long each request of a batcher waits, and what is kept of those that have their answer."""

from __future__ import annotations

import asyncio
import gc
from collections.abc import Callable, Sequence

import pytest

from ad_seller.storage.driver.failures import NotStartedError
from ad_seller.storage.runtime.batcher import Batcher
from ad_seller.storage.runtime.request import Request
from tests.bulk_engine import Engine, ExplainedError, batcher_of, submit, ticks


class TestTime:
    async def test_late_answer_to_what_was_sent(self, engine: Engine) -> None:
        engine.open.clear()
        batcher = batcher_of(engine, timeout=0.5)
        started = asyncio.get_running_loop().time()
        with pytest.raises(ExplainedError) as caught:
            await batcher.submit([1])
        assert isinstance(caught.value.cause, TimeoutError)
        assert caught.value.sent
        assert asyncio.get_running_loop().time() - started >= 0.499
        engine.open.set()
        assert await batcher.submit([2]) == [4]

    async def test_what_was_not_sent_is_never_sent_later(self, engine: Engine) -> None:
        engine.open.clear()
        batcher = batcher_of(engine, timeout=0.05)
        first = submit(batcher, 1)
        await ticks()
        waiting = submit(batcher, 2)
        await asyncio.wait([first, waiting])
        assert isinstance(first.exception(), ExplainedError)
        error = waiting.exception()
        assert isinstance(error, ExplainedError)
        assert not error.sent
        engine.open.set()
        await batcher.drain()
        assert engine.batches == [[1]]

    async def test_not_started_until_the_time_is_up_says_so(self) -> None:
        async def run(items: list[int]) -> Sequence[int]:
            await asyncio.sleep(0.005)
            raise NotStartedError("locked by others")

        batcher: Batcher[int, int] = Batcher(run, explain=ExplainedError, timeout=0.05)
        with pytest.raises(ExplainedError) as caught:
            await batcher.submit([1])
        assert isinstance(caught.value.cause, NotStartedError)
        assert not caught.value.sent
        async with asyncio.timeout(20):
            await batcher.drain()

    async def test_each_request_has_its_own_time(self, engine: Engine) -> None:
        engine.open.clear()
        batcher = batcher_of(engine, timeout=0.1)
        loop = asyncio.get_running_loop()
        ends: list[float] = []

        async def wait_for_it(number: int) -> None:
            await asyncio.sleep(number * 0.03)
            started = loop.time()
            with pytest.raises(ExplainedError):
                await batcher.submit([number])
            ends.append(loop.time() - started)

        await asyncio.gather(*map(wait_for_it, range(3)))
        assert all(0.099 <= waited < 20 for waited in ends)
        engine.open.set()
        await batcher.drain()


class TestGrowth:
    @pytest.mark.parametrize("cancelled", [False, True])
    async def test_nothing_is_kept_of_old_requests(self, engine: Engine, cancelled: bool) -> None:
        batcher = batcher_of(engine, timeout=60)

        async def work(rounds: int) -> None:
            for n in range(rounds):
                task = submit(batcher, n)
                if cancelled:
                    await asyncio.sleep(0)
                    task.cancel()
                await asyncio.wait([task])
            await batcher.submit([0])
            await ticks()

        await work(50)
        requests = count_of(lambda thing: isinstance(thing, Request))
        await work(500)
        assert count_of(lambda thing: isinstance(thing, Request)) <= requests + 5


def count_of(test: Callable[[object], bool]) -> int:
    gc.collect()
    return sum(1 for thing in gc.get_objects() if test(thing))


async def test_one_request_without_an_answer_does_not_keep_all_later_ones() -> None:
    engine = Engine()
    stuck = asyncio.Event()
    run = engine.run

    async def some_hang(items: list[int]) -> Sequence[int]:
        if items == [0]:
            await stuck.wait()
        return await run(items)

    batcher: Batcher[int, int] = Batcher(some_hang, explain=ExplainedError, timeout=60.0, concurrency=2)
    first = submit(batcher, 0)
    await ticks()
    for number in range(1, 2_000):
        assert await batcher.submit([number]) == [2 * number]
    assert len(batcher._deadlines) < 200
    stuck.set()
    assert await first == [0]
    await batcher.drain()
