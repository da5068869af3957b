"""An event loop for tests: the order of execution is drawn from a seed, time is virtual, nothing else exists.

Whatever asyncio could run next is one of several handles that are ready; this loop picks among them by a seeded
random generator. If none is ready, time jumps to the next timer. There is no I/O and there are no threads, so a
seed determines everything that happens, and a run of hours takes as long as its computations.
"""

from __future__ import annotations

import asyncio
import heapq
import random
from collections import deque
from collections.abc import Callable, Coroutine
from contextlib import suppress
from contextvars import Context
from typing import Any, NoReturn, TypeVar, TypeVarTuple

T = TypeVar("T")
Ts = TypeVarTuple("Ts")

#: From how many of the handles that have waited longest the next one is taken. The first is asyncio's own order.
WINDOWS = (1, 2, 4, 1_000_000)

#: More handles than any scenario runs: whoever gets here turns in a circle.
MAX_STEPS = 20_000

#: Seconds that a computation takes at most, in those schedules in which some take any.
LATENESS = 0.02


class DeadlockError(AssertionError):
    """Tasks wait, nothing is ready and no timer is set: nothing will ever happen again."""


class LivelockError(AssertionError):
    """The schedule goes on and on without coming to an end."""


class ScheduleLoop(asyncio.BaseEventLoop):
    """Runs schedules, one after the other.

    Args:
        seed: determines the order of the first one.
        traced: whether to note what runs; that takes a multiple of the time.

    Attributes:
        seed: that of the schedule that runs.
        chance: for everything else that is to depend on the seed.
        steps: how many handles have run; a finer clock than `time`.
        complaints: what asyncio reported: exceptions that nobody looked at, callbacks that failed.
        trace: the moment and the name of what ran, if ``traced``.
        began: called whenever a schedule begins.
        kept: what one schedule leaves to the next, because it costs more than the schedule; by what it is.
    """

    _ready: deque[asyncio.Handle]
    _scheduled: list[asyncio.TimerHandle]
    _stopping: bool

    def __init__(self, seed: int, *, traced: bool = False) -> None:
        super().__init__()
        self.chance = random.Random()
        self._traced = traced
        self.began: Callable[[], object] = lambda: None
        self.kept: dict[str, list[Any]] = {}
        self._draw = self.chance.random  # many times cheaper than `randrange` and `choice`
        self.set_exception_handler(_complain)
        self.begin(seed)

    def begin(self, seed: int) -> None:
        """Let a schedule begin: all that comes from now on comes from its seed, whatever was before."""
        self.seed = seed
        self.chance.seed(seed)
        self.steps = 0
        self.complaints: list[str] = []
        self.trace: list[tuple[float, str]] = []
        self._window = self.chance.choice(WINDOWS)
        self._busy = self.chance.choice((0.0, 0.0, 0.02))
        self._now = 0.0
        self._made = 0
        self._end_of_patience = MAX_STEPS
        self.began()

    @property
    def punctual(self) -> bool:
        """Whether computations take no time in this schedule, so that timers fire when they are due."""
        return not self._busy

    def time(self) -> float:
        """Return the virtual time in seconds."""
        return self._now

    def create_task(
        self, coro: Any, *, name: object = None, context: Context | None = None, **more: Any
    ) -> asyncio.Task[Any]:
        """Make a task; if traced, with a name that is the same in each run of the seed."""
        if self._traced and name is None:
            self._made += 1
            name = f"{getattr(coro, '__qualname__', 'coroutine').rpartition('<locals>.')[2]}#{self._made}"
        return super().create_task(coro, name=name or "task", context=context, **more)

    def call_soon(
        self, callback: Callable[[*Ts], object], *args: *Ts, context: Context | None = None
    ) -> asyncio.Handle:
        """Do what asyncio does, without its checks for threads: half of the handles come this way."""
        handle = asyncio.Handle(callback, args, self, context)
        self._ready.append(handle)
        return handle

    def run(self, main: Coroutine[Any, Any, T]) -> T:
        """Run ``main`` and then everything that is ready; fail if a task or a timer is left.

        Raises:
            DeadlockError: tasks wait for what will never come.
            AssertionError: something is left, or asyncio complained.
        """
        try:
            result = self.run_until_complete(self._settled(main))
            left = sorted(task.get_name() for task in asyncio.all_tasks(self))
            assert not left, f"tasks are left: {left}"
            timers = [timer for timer in self._scheduled if not timer.cancelled()]
            assert not timers, f"timers are left: {timers}"
            self._scheduled.clear()  # of those that were cancelled
            assert not self.complaints, f"asyncio complains: {self.complaints}"
            return result
        except BaseException:
            self._end()
            raise

    async def _settled(self, main: Coroutine[Any, Any, T]) -> T:
        """Return what ``main`` does once nothing is ready any more."""
        result = await main
        while self._ready:  # noqa: ASYNC110 - nothing tells
            await asyncio.sleep(0)
        return result

    def close(self) -> None:
        """Disconnect what was kept, and close."""
        kept, self.kept = [one for some in self.kept.values() for one in some], {}
        for one in kept:
            self.run_until_complete(one.disconnect())
        super().close()

    def _end(self) -> None:
        """Close; what a failed run left behind is dropped silently, because its failure has been told."""
        if left := asyncio.all_tasks(self):
            self._traced = False
            self._end_of_patience += MAX_STEPS
            self.set_exception_handler(lambda loop, context: None)
            with suppress(AssertionError):
                self.run_until_complete(_cancelled(left))
        self.kept.clear()
        self.close()

    def _run_once(self) -> None:
        """Run handles until the loop is stopped; this is what `BaseEventLoop.run_forever` calls."""
        while not self._stopping:
            if not self._ready:
                self._jump()
            elif self._busy and self._draw() < self._busy:
                self._pass(self._now + LATENESS * self._draw())
            handle = self._next()
            self.steps += 1
            if handle._cancelled:
                continue
            if self._traced:
                self.trace.append((self._now, _name(handle)))
            handle._run()
            if self.steps > self._end_of_patience:
                raise LivelockError(f"no end after {self.steps} steps")

    def _next(self) -> asyncio.Handle:
        """Take one of those that have waited longest."""
        choices = min(len(self._ready), self._window)
        if choices == 1:
            return self._ready.popleft()
        position = int(self._draw() * choices)
        handle = self._ready[position]
        del self._ready[position]
        return handle

    def _jump(self) -> None:
        """Go to the next timer."""
        while self._scheduled and self._scheduled[0].cancelled():
            heapq.heappop(self._scheduled)
        if not self._scheduled:
            waiting = sorted(task.get_name() for task in asyncio.all_tasks(self))
            raise DeadlockError(f"nothing is ready and no timer is set, while these wait: {waiting}")
        self._pass(max(self._now, self._scheduled[0].when()))

    def _pass(self, now: float) -> None:
        """Let it be ``now``, and make ready what is due."""
        self._now = now
        while self._scheduled and self._scheduled[0].when() <= now:
            timer = heapq.heappop(self._scheduled)
            if not timer.cancelled():
                self._ready.append(timer)

    # --- what does not exist here ------------------------------------------------------------------------

    def _write_to_self(self) -> None:
        """Nobody sleeps, so there is nobody to wake."""

    def run_in_executor(self, executor: object, func: object, *args: object) -> NoReturn:
        """Refuse: a thread would make the seed meaningless."""
        raise AssertionError("a thread was asked for; there are none in a schedule")


async def _cancelled(tasks: set[asyncio.Task[Any]]) -> None:
    for task in tasks:
        task.cancel()
    await asyncio.wait(tasks)


def _complain(loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
    assert isinstance(loop, ScheduleLoop)
    loop.complaints.append(f"{context.get('message')}: {context.get('exception')!r}")


def _name(handle: asyncio.Handle) -> str:
    callback: Any = handle._callback  # type: ignore[attr-defined]
    owner = getattr(callback, "__self__", None)
    if isinstance(owner, asyncio.Task):
        return owner.get_name()
    return str(getattr(callback, "__qualname__", type(callback).__name__))
