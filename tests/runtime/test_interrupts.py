"""An event loop that is interrupted in the middle of a batch, and goes on: the next calls are made, and it can end.

As after KeyboardInterrupt in a loop that is run again, or what a signal handler raises, such as the time limit of a
worker.
"""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Callable, Coroutine
from contextlib import closing, suppress
from functools import partial
from pathlib import Path
from types import FrameType
from typing import Any, TypeVar

import pytest

from ad_seller.storage import StorageTimeoutError, UnknownOutcomeError
from ad_seller.storage.driver.engine import Tell
from ad_seller.storage.driver.query import KeyQuery
from ad_seller.storage.memory_backend import MemoryBackend
from ad_seller.storage.runtime.batcher import Batcher
from ad_seller.storage.runtime.connected import Guard
from ad_seller.storage.sqlite_backend import SQLiteBackend
from tests.sync.interrupts import Interrupt, SoftTimeLimitError

T = TypeVar("T")

STEPS = (Batcher._start, Batcher._told, Batcher._go_on)


class Interrupted(Interrupt):
    """Interrupts one of a batcher's steps, all of which it takes.

    Not before the first line of one: see below. Nor in asyncio, which then wakes nobody.
    """

    def __init__(self, error: type[BaseException], at: int, batcher: Batcher[int, int]) -> None:
        super().__init__(error, at)
        for step in STEPS:
            setattr(batcher, step.__name__, partial(self.take, partial(step, batcher)))

    def take(self, step: Callable[..., None], *arguments: Any) -> None:
        if sys.getprofile() is not None:  # within another one
            return step(*arguments)
        sys.setprofile(self._event)
        try:
            step(*arguments)
        finally:
            sys.setprofile(None)

    def ends(self) -> None:
        self._left = sys.maxsize

    def _event(self, frame: FrameType, event: str, argument: Any) -> None:
        begins = event == "call" and any(frame.f_code is step.__code__ for step in STEPS)
        if not begins and frame.f_code.co_filename not in (
            asyncio.base_events.__file__,
            asyncio.events.__file__,
            __file__,
        ):
            super()._event(frame, event, argument)


def at_once(items: list[int], tell: Tell[int]) -> None:
    tell([2 * item for item in items], None)


def later(items: list[int], tell: Tell[int]) -> None:
    asyncio.get_running_loop().call_soon(tell, [2 * item for item in items], None)


@pytest.mark.parametrize("error", [KeyboardInterrupt, SoftTimeLimitError])
@pytest.mark.parametrize("begin", [at_once, later])
@pytest.mark.parametrize("callers", [3, 40])
def test_the_next_batch_begins(begin: Any, error: type[BaseException], callers: int) -> None:
    async def run(items: list[int]) -> list[int]:
        raise AssertionError("it is begun")

    async def made() -> Batcher[int, int]:
        return Batcher(run, explain=lambda error, _: ValueError(error), timeout=60, begin=begin)

    async def calls() -> None:
        waiting.extend(batcher.submit([n]) for n in range(callers))
        await asyncio.wait(waiting, timeout=0.01)

    async def goes_on() -> None:
        async with asyncio.timeout(5):
            assert await batcher.submit([1]) == [2]
            await batcher.drain()
        assert not batcher.running
        assert all(call.done() for call in waiting)  # those of the interrupted batch, too

    at = 0
    while True:
        with closing(asyncio.new_event_loop()) as loop:
            loop.set_exception_handler(lambda *_: None)
            batcher = loop.run_until_complete(made())
            waiting: list[asyncio.Future[list[int]]] = []
            interrupt, work = Interrupted(error, at, batcher), loop.create_task(calls())
            while not work.done():
                with suppress(KeyboardInterrupt):
                    loop.run_until_complete(work)
            interrupt.ends()
            try:
                loop.run_until_complete(goes_on())
            except TimeoutError:
                pytest.fail(f"nothing goes on after {interrupt.where}")
        if interrupt.where is None:
            break
        at += 1 if callers < 10 else 7
    assert at > 20


def before_the_first(
    of: type, step: str, monkeypatch: pytest.MonkeyPatch, error: type[BaseException] = KeyboardInterrupt
) -> None:
    """Interrupt the next call of a step before its first line, once."""
    whole = getattr(of, step)

    def interrupted(*_: Any) -> None:
        monkeypatch.setattr(of, step, whole)
        raise error

    monkeypatch.setattr(of, step, interrupted)


def goes_on(loop: asyncio.AbstractEventLoop, work: Coroutine[Any, Any, T]) -> T:
    """Run it to its end in a loop that goes on after an interrupt."""
    task = loop.create_task(work)
    while not task.done():
        with suppress(KeyboardInterrupt):
            loop.run_until_complete(task)
    return task.result()


@pytest.mark.parametrize("name", ["memory", "sqlite"])
@pytest.mark.parametrize("step", ["_start", "_told", "__exit__"])
def test_a_step_of_which_not_one_line_ran(
    name: str, step: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its caller hears in time; a batch that was never begun makes way, and a close always ends."""
    made = MemoryBackend(timeout=0.2) if name == "memory" else SQLiteBackend(f"{tmp_path}/store.db", timeout=0.2)

    async def begin() -> None:
        await made.connect()
        await made.set("a", 0)
        before_the_first(Guard if step == "__exit__" else Batcher, step, monkeypatch)

    async def interrupted() -> None:
        async with asyncio.timeout(10):
            if step == "__exit__":
                with suppress(KeyboardInterrupt):
                    await made.keys()
                return
            with pytest.raises(StorageTimeoutError if step == "_start" else UnknownOutcomeError):
                await made.set("a", 1)
            if step == "_start":
                await made.set("a", 2)

    async def end() -> object:
        async with asyncio.timeout(10):
            await made.disconnect()
            async with made:
                return await made.get("a")

    with closing(asyncio.new_event_loop()) as loop:
        loop.set_exception_handler(lambda *_: None)
        goes_on(loop, begin())
        goes_on(loop, interrupted())
        assert goes_on(loop, end()) == {"_start": 2, "_told": 1, "__exit__": 0}[step]


@pytest.mark.parametrize("closes", ["caller", "other"])
async def test_a_close_waits_for_a_long_call_not_for_one_that_an_interrupt_has_ended(
    closes: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One of many steps, say, takes longer than three time-outs and a second."""
    storage = MemoryBackend(timeout=0.05)
    await storage.connect()
    engine = (await storage._here()).engine
    keys = engine.keys

    async def slowly(query: KeyQuery) -> list[str]:
        await asyncio.sleep(1.8)
        return await keys(query)

    async def interrupted() -> None:
        with suppress(SoftTimeLimitError):
            await storage.count()
        if closes == "caller":
            await storage.disconnect()

    before_the_first(Guard, "__exit__", monkeypatch, SoftTimeLimitError)
    lost = asyncio.create_task(interrupted())
    if closes == "other":
        await lost
        monkeypatch.setattr(engine, "keys", slowly)
        listing = asyncio.create_task(storage.keys())
        await asyncio.sleep(0)
        async with asyncio.timeout(10):
            await storage.disconnect()
        assert listing.done()
        assert await listing == []
    async with asyncio.timeout(10):
        await lost
