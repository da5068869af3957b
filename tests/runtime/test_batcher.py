"""Calls of one tick become one bulk call: order, cancellation, time, and whose answer is whose."""

from __future__ import annotations

import asyncio
import gc
import random
from collections.abc import Sequence
from typing import Any

import pytest

from ad_seller.storage.driver.failures import NotStartedError
from ad_seller.storage.runtime.batcher import Batcher
from ad_seller.storage.runtime.request import Request
from tests.bulk_engine import Engine, ExplainedError, batcher_of, submit, ticks


class TestBatches:
    async def test_calls_of_one_tick_are_one_bulk_call_in_order(self, engine: Engine) -> None:
        batcher = batcher_of(engine)
        results = await asyncio.gather(*(batcher.submit([n, n + 100]) for n in range(10)))
        assert results == [[2 * n, 2 * n + 200] for n in range(10)]
        assert engine.batches == [[item for n in range(10) for item in (n, n + 100)]]

    async def test_what_comes_meanwhile_waits_for_its_turn(self, engine: Engine) -> None:
        batcher = batcher_of(engine)
        engine.open.clear()
        first = submit(batcher, 1)
        await ticks()
        others = [submit(batcher, n) for n in (2, 3, 4)]
        await ticks()
        assert engine.batches == [[1]]
        engine.open.set()
        assert await asyncio.gather(first, *others) == [[2], [4], [6], [8]]
        assert engine.batches == [[1], [2, 3, 4]]

    async def test_batches_have_a_size_and_requests_stay_whole(self, engine: Engine) -> None:
        batcher = batcher_of(engine, max_items=4)
        sizes = [3, 1, 1, 9, 2, 2, 1]
        results = await asyncio.gather(*(batcher.submit(range(size)) for size in sizes))
        assert results == [[2 * n for n in range(size)] for size in sizes]
        assert [len(batch) for batch in engine.batches] == [4, 1, 9, 4, 1]

    @pytest.mark.parametrize("concurrency", [1, 3])
    async def test_so_many_run_at_the_same_time(self, engine: Engine, concurrency: int) -> None:
        batcher = batcher_of(engine, max_items=2, concurrency=concurrency)
        results = await asyncio.gather(*(batcher.submit([n]) for n in range(40)))
        assert results == [[2 * n] for n in range(40)]
        assert engine.most_running == concurrency

    async def test_it_is_running_from_the_first_to_the_last_answer(self, engine: Engine) -> None:
        batcher = batcher_of(engine, max_items=1, concurrency=3)
        seen = [bool(batcher.running)]
        for several in (1, 3):
            engine.open.clear()
            calls = [submit(batcher, n) for n in range(several)]
            await ticks()
            seen.append(bool(batcher.running))
            engine.open.set()
            await asyncio.gather(*calls)
            await ticks()
            seen.append(bool(batcher.running))
        assert seen == [False, True, False, True, False]

    async def test_a_bulk_call_that_was_cancelled_before_it_began_is_made_by_the_next_task(
        self, engine: Engine
    ) -> None:
        """As who cancels all tasks of the event loop does."""
        batcher = batcher_of(engine)
        call = asyncio.ensure_future(batcher.submit([1]))
        assert batcher._starting is not None
        batcher._starting.cancel()
        async with asyncio.timeout(20):
            assert await call == [2]
            assert await batcher.submit([2]) == [4]

    async def test_callers_cannot_change_the_answers_of_others(self, engine: Engine) -> None:
        batcher = batcher_of(engine)
        first, second = await asyncio.gather(batcher.submit([1]), batcher.submit([2]))
        first.append(99)
        assert second == [4]

    @pytest.mark.parametrize(("size", "at_once"), [(10, 32), (32_768, 8), (400_000, 1)])
    async def test_so_many_callers_are_woken_in_one_turn(self, size: int, at_once: int) -> None:
        """Each decodes what it asked for then, which holds up everybody else for as long."""

        async def run(items: list[int]) -> Sequence[bytes]:
            return [b"x" * size for _ in items]

        async def caller() -> None:
            await batcher.submit([1])
            woken[-1] += 1

        batcher: Batcher[int, bytes] = Batcher(run, explain=ExplainedError, timeout=20)  # type: ignore[arg-type]
        woken = [0]
        tasks = [asyncio.ensure_future(caller()) for _ in range(64)]
        while not all(task.done() for task in tasks):
            await asyncio.sleep(0)
            woken.append(0)
        assert max(woken) == at_once

    @pytest.mark.parametrize("given", [[], [1], [1, 2, 3]])
    async def test_wrong_number_of_answers_is_an_error_for_all(self, given: list[int]) -> None:
        async def run(items: list[int]) -> Sequence[int]:
            return given

        batcher: Batcher[int, int] = Batcher(run, explain=ExplainedError, timeout=5)
        tasks = [submit(batcher, 1), submit(batcher, 2)]
        await asyncio.wait(tasks)
        assert all(isinstance(task.exception(), ExplainedError) for task in tasks)


class TestFailure:
    async def test_each_caller_gets_an_error_of_its_own(self, engine: Engine) -> None:
        engine.failures = [ZeroDivisionError("engine")]
        batcher = batcher_of(engine)
        tasks = [submit(batcher, n) for n in range(3)]
        await asyncio.wait(tasks)
        errors = [task.exception() for task in tasks]
        assert [error.items for error in errors if isinstance(error, ExplainedError)] == [[0], [1], [2]]
        assert len(set(map(id, errors))) == 3
        assert await batcher.submit([5]) == [10], "the next batch is not concerned"

    async def test_engine_that_raises_before_its_first_await(self) -> None:
        def run(items: list[int]) -> Any:
            raise ZeroDivisionError("at once")

        batcher: Batcher[int, int] = Batcher(run, explain=ExplainedError, timeout=5)
        with pytest.raises(ExplainedError, match="at once"):
            await batcher.submit([1])

    async def test_not_started_is_tried_again_in_order(self, engine: Engine) -> None:
        engine.failures = [NotStartedError("busy") for _ in range(3)]
        batcher = batcher_of(engine)
        tasks = [submit(batcher, n) for n in range(3)]
        await ticks(3)
        late = submit(batcher, 3)
        assert await asyncio.gather(*tasks, late) == [[0], [2], [4], [6]]
        assert engine.batches[0] == [0, 1, 2]
        assert engine.batches[-1] == [0, 1, 2, 3]

    async def test_cancelled_caller_is_left_out_of_the_next_try(self, engine: Engine) -> None:
        engine.failures = [NotStartedError("busy")]
        engine.open.clear()
        batcher = batcher_of(engine)
        tasks = [submit(batcher, n) for n in range(3)]
        await ticks()
        tasks[1].cancel()
        await ticks()
        engine.open.set()
        await asyncio.wait(tasks)
        assert engine.batches == [[0, 1, 2], [0, 2]]
        assert (tasks[0].result(), tasks[2].result()) == ([0], [4])


class TestCancellation:
    async def test_before_sending_it_is_dropped(self, engine: Engine) -> None:
        batcher = batcher_of(engine)
        tasks = [submit(batcher, n) for n in range(3)]
        tasks[1].cancel()  # submitted, not flushed
        await asyncio.wait(tasks)
        assert engine.batches == [[0, 2]]
        assert (tasks[0].result(), tasks[2].result()) == ([0], [4])

    async def test_all_of_a_batch_and_nothing_is_sent(self, engine: Engine) -> None:
        batcher = batcher_of(engine)
        tasks = [submit(batcher, n) for n in range(3)]
        for task in tasks:
            task.cancel()
        await asyncio.wait(tasks)
        await ticks()
        assert engine.batches == []
        assert await batcher.submit([7]) == [14]

    async def test_after_sending_it_takes_effect_and_the_answer_is_dropped(self, engine: Engine) -> None:
        engine.open.clear()
        batcher = batcher_of(engine)
        tasks = [submit(batcher, n) for n in range(3)]
        await ticks()
        tasks[0].cancel()
        await ticks()
        assert tasks[0].cancelled()
        assert engine.running == 1, "the bulk call goes on"
        engine.open.set()
        assert await asyncio.gather(*tasks[1:]) == [[2], [4]]
        assert engine.batches == [[0, 1, 2]]

    async def test_storm(self, engine: Engine) -> None:
        rng = random.Random(3)
        batcher = batcher_of(engine, max_items=7, concurrency=2)
        sent_or_not: set[int] = set()
        for wave in range(100):
            numbers = [wave * 100 + n for n in range(20)]
            tasks = {number: submit(batcher, number, -number) for number in numbers}
            if rng.random() < 0.3:
                engine.failures.append(rng.choice([NotStartedError("busy"), ZeroDivisionError("engine")]))
            for number in rng.sample(numbers, 10):
                if rng.random() < 0.5:
                    await ticks(rng.randint(0, 3))
                tasks[number].cancel()
            await asyncio.wait(tasks.values())
            for number, task in tasks.items():
                if task.cancelled():
                    sent_or_not.add(number)
                elif error := task.exception():
                    assert isinstance(error, ExplainedError)
                    assert error.items == [number, -number]
                else:
                    assert task.result() == [2 * number, -2 * number]
        async with asyncio.timeout(20):
            await batcher.drain()
        assert engine.running == 0
        assert sent_or_not


class TestDrain:
    async def test_waits_for_what_was_submitted(self, engine: Engine) -> None:
        engine.open.clear()
        batcher = batcher_of(engine, max_items=1)
        tasks = [submit(batcher, n) for n in range(5)]
        await ticks()
        draining = asyncio.ensure_future(batcher.drain())
        await ticks(20)
        assert not draining.done()
        engine.open.set()
        await draining
        await ticks(1)  # the callers learn of it in the next tick
        assert [task.result() for task in tasks] == [[0], [2], [4], [6], [8]]

    async def test_of_nothing(self, engine: Engine) -> None:
        await batcher_of(engine).drain()

    async def test_leaves_no_timer(self, engine: Engine) -> None:
        batcher = batcher_of(engine, timeout=60)
        await batcher.submit([1])
        await batcher.drain()
        del batcher
        gc.collect()
        handles: list[Any] = getattr(asyncio.get_running_loop(), "_scheduled", [])
        assert not [handle for handle in handles if not handle.cancelled() and handle.when() > 30]


class UncopyableError(Exception):
    """Takes two arguments and keeps one, so that it cannot be made anew."""

    def __init__(self, one: str, two: str) -> None:
        super().__init__(one)


class TestOneOfAGroup:
    """What goes wrong at telling one caller is his alone."""

    async def test_an_empty_request_is_answered_at_once_and_harms_nobody(self) -> None:
        engine = Engine()
        engine.failures = [OSError("gone")]
        batcher = batcher_of(engine)
        one, empty, two = submit(batcher, 1), submit(batcher), submit(batcher, 2)
        answers = await asyncio.wait_for(asyncio.gather(one, empty, two, return_exceptions=True), 20)
        assert answers[1] == []
        assert [type(answers[0]), type(answers[2])] == [ExplainedError, ExplainedError]
        assert await batcher.submit([3]) == [6]

    @pytest.mark.parametrize(
        "failure", [IndexError("no such item"), StopIteration("none"), UncopyableError("a", "b")]
    )
    async def test_explaining_that_fails(self, failure: Exception) -> None:
        def explain(error: BaseException, request: Request[int, int]) -> BaseException:
            if list(request.items) == [1]:
                raise failure
            return ExplainedError(error, request)

        engine = Engine()
        engine.failures = [OSError("gone")]
        batcher = Batcher(engine.run, explain=explain, timeout=5.0)
        answers = await asyncio.gather(submit(batcher, 1), submit(batcher, 2), return_exceptions=True)
        assert isinstance(answers[0], RuntimeError if isinstance(failure, StopIteration) else type(failure))
        assert isinstance(answers[1], ExplainedError)

    async def test_the_timer_goes_on_after_it(self) -> None:
        def explain(error: BaseException, request: Request[int, int]) -> BaseException:
            raise StopIteration if list(request.items) == [1] else TimeoutError

        engine = Engine()
        engine.open.clear()
        batcher = Batcher(engine.run, explain=explain, timeout=0.05)
        answers = await asyncio.gather(*(submit(batcher, n) for n in (1, 2, 3)), return_exceptions=True)
        assert [type(answer) for answer in answers] == [RuntimeError, TimeoutError, TimeoutError]
        engine.open.set()
        await batcher.drain()
