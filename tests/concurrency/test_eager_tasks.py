"""An application whose tasks begin at once, as with `asyncio.eager_task_factory` (Python 3.12): ours do not."""

from __future__ import annotations

import asyncio
import re
import types
from collections.abc import Callable, Coroutine, Generator, Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from ad_seller.storage.redis.rounds import Rounds
from tests.adoption.environment import ROOT
from tests.bulk_engine import Engine, batcher_of, submit, ticks


@types.coroutine
def resumed(work: Coroutine[Any, Any, Any], awaited: Any) -> Generator[Any, Any, Any]:
    yield awaited
    return (yield from work)


def begun(loop: asyncio.AbstractEventLoop, work: Coroutine[Any, Any, Any], **named: Any) -> asyncio.Task[Any]:
    """Make a task whose first step is made here, for Python 3.11."""

    async def rest() -> Any:
        return await resumed(work, awaited)

    async def ended() -> Any:
        return result

    try:
        awaited = work.send(None)
    except StopIteration as done:
        result = done.value
        return asyncio.Task(ended(), loop=loop, **named)
    return asyncio.Task(rest(), loop=loop, **named)


@contextmanager
def eager() -> Iterator[None]:
    """Have all tasks of this event loop begin at once that are made by it."""
    loop = asyncio.get_running_loop()
    before = loop.get_task_factory()
    by_hand: Any = begun
    loop.set_task_factory(getattr(asyncio, "eager_task_factory", by_hand))
    try:
        yield
    finally:
        loop.set_task_factory(before)


async def test_calls_of_one_turn_are_one_bulk_call() -> None:
    engine = Engine()
    with eager():
        batcher = batcher_of(engine)
        assert await asyncio.gather(*(batcher.submit([n]) for n in range(40))) == [[2 * n] for n in range(40)]
        assert [len(batch) for batch in engine.batches] == [40]


async def test_one_stuck_bulk_call_holds_up_nobody_else() -> None:
    engine = Engine()
    with eager():
        batcher = batcher_of(engine, concurrency=3)
        engine.open.clear()
        stuck = submit(batcher, 1)
        await ticks()
        other = submit(batcher, 2)
        await ticks()
        assert engine.items == [1, 2]
        engine.open.set()
        assert [await stuck, await other] == [[2], [4]]


async def test_who_comes_when_a_round_has_begun_gets_another_one() -> None:
    """Or a listing would miss what was stored before it was asked for."""
    numbers = iter(range(10))

    async def run(begins: Callable[[], object]) -> int:
        begins()
        number = next(numbers)
        await ticks()
        return number

    with eager():
        rounds: Rounds[int] = Rounds()
        end = asyncio.get_running_loop().time() + 20
        first = asyncio.ensure_future(rounds.share("all", run, end))
        await ticks(2)
        assert await rounds.share("all", run, end) == 1
        assert await first == 0


@pytest.mark.parametrize("wing", ["atomic", "postgres", "redis", "runtime", "sqlite", "hybrid", "namespaces"])
def test_tasks_are_made_in_one_place(wing: str) -> None:
    """`later`: what is noted of a task when it has been made stands before its first step."""
    texts = {path.name: path.read_text() for path in (ROOT / "src/ad_seller/storage" / wing).rglob("*.py")}
    assert texts
    assert [name for name, text in texts.items() if re.search(r"\bcreate_task\(", text)] == []
