"""An event loop for tests: the order of execution is drawn from a seed, time is virtual, nothing else exists.

Whatever asyncio could run next is one of several handles that are ready; this loop picks among them by a seeded
random generator. If none is ready, time jumps to the next timer. There is no I/O and there are no threads, so a
seed determines everything that happens, and a run of hours takes as long as its computations.
"""

from __future__ import annotations

import asyncio
import heapq
import inspect
import random
from collections import deque
from collections.abc import Callable, Coroutine
from contextlib import suppress
from contextvars import Context
from typing import Any, NoReturn, TypeVar, TypeVarTuple

from tests.schedules.handles import Handle, Timer

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

    _ready: deque[Handle | Timer]
    _stopping: bool

    def __init__(self, seed: int, *, traced: bool = False) -> None:
        super().__init__()
        self.chance = random.Random()
        self._timers: list[tuple[float, int, Timer]] = []
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
        self._timed = 0
        self._end_of_patience = MAX_STEPS
        self.began()

    @property
    def punctual(self) -> bool:
        """Whether computations take no time in this schedule, so that timers fire when they are due."""
        return not self._busy

    def time(self) -> float:
        """Return the virtual time in seconds."""
        return self._now

    def passes(self, seconds: float) -> bool:
        """Let the time pass at once if nobody else has anything to do in it; tell whether that was so.

        The story is the same as if who asks had waited: turns in which nothing can happen cost most of a schedule.
        """
        if self._ready or self.steps > self._end_of_patience:
            return False
        now = self._now + seconds
        if (due := self._next_due()) is not None and due <= now:
            return False
        self._now = now
        self.steps += 1
        return True

    def create_task(
        self, coro: Any, *, name: object = None, context: Context | None = None, **more: Any
    ) -> asyncio.Task[Any]:
        """Make a task; if traced, with a name that is the same in each run of the seed."""
        if self._traced and name is None:
            self._made += 1
            name = f"{getattr(coro, '__qualname__', 'coroutine').rpartition('<locals>.')[2]}#{self._made}"
        return asyncio.Task(coro, loop=self, name=str(name or "task"), context=context, **more)

    def call_soon(
        self, callback: Callable[[*Ts], object], *args: *Ts, context: Context | None = None
    ) -> asyncio.Handle:
        """Do what asyncio does, without its checks for threads: half of the handles come this way."""
        handle = Handle(callback, args, context)
        self._ready.append(handle)
        return handle

    def call_at(
        self, when: float, callback: Callable[[*Ts], object], *args: *Ts, context: Context | None = None
    ) -> asyncio.TimerHandle:
        """Do what asyncio does; timers of one moment are due in the order in which they were set."""
        timer = Timer(when, callback, args, context)
        self._timed += 1
        heapq.heappush(self._timers, (when, self._timed, timer))
        return timer

    def call_later(
        self, delay: float, callback: Callable[[*Ts], object], *args: *Ts, context: Context | None = None
    ) -> asyncio.TimerHandle:
        """Do what asyncio does."""
        return self.call_at(self._now + delay, callback, *args, context=context)

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
            timers = [timer for _, _, timer in self._timers if not timer.cancelled()]
            assert not timers, f"timers are left: {timers}"
            self._timers.clear()  # of those that were cancelled
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
        self._traced = False
        self._end_of_patience += MAX_STEPS
        self.set_exception_handler(lambda loop, context: None)
        with suppress(AssertionError):
            while left := asyncio.all_tasks(self):  # what ends may have begun something
                self.run_until_complete(self._settled(_cancelled(left)))
        for task in asyncio.all_tasks(self):  # of those that do not end; what has not begun never will
            coroutine: Any = task.get_coro()
            if inspect.getcoroutinestate(coroutine) == inspect.CORO_CREATED:
                coroutine.close()
        self.kept.clear()
        self.close()

    def _run_once(self) -> None:
        """Run handles until the loop is stopped; this is what `BaseEventLoop.run_forever` calls."""
        ready = self._ready
        while not self._stopping:
            if not ready:
                self._jump()
            elif self._busy and self._draw() < self._busy:
                self._pass(self._now + LATENESS * self._draw())
            handle = ready.popleft() if self._window == 1 or len(ready) == 1 else self._drawn()
            self.steps += 1
            if handle._cancelled:
                continue
            if self._traced:
                self.trace.append((self._now, _name(handle)))
            try:
                handle._context.run(handle._callback, *handle._args)
            except (SystemExit, KeyboardInterrupt):
                raise
            except BaseException as error:
                self.call_exception_handler({"message": f"Exception in {_name(handle)}", "exception": error})
            if self.steps > self._end_of_patience:
                raise LivelockError(f"no end after {self.steps} steps")

    def _drawn(self) -> Handle | Timer:
        """Take one of those that have waited longest."""
        position = int(self._draw() * min(len(self._ready), self._window))
        handle = self._ready[position]
        del self._ready[position]
        return handle

    def _jump(self) -> None:
        """Go to the next timer."""
        due = self._next_due()
        if due is None:
            waiting = sorted(task.get_name() for task in asyncio.all_tasks(self))
            raise DeadlockError(f"nothing is ready and no timer is set, while these wait: {waiting}")
        self._pass(max(self._now, due))

    def _next_due(self) -> float | None:
        """Return when the next timer is due, and forget those before it that were cancelled."""
        timers = self._timers
        while timers:
            when, _, timer = timers[0]
            if not timer._cancelled:
                return when
            heapq.heappop(timers)
        return None

    def _pass(self, now: float) -> None:
        """Let it be ``now``, and make ready what is due."""
        self._now = now
        timers = self._timers
        while timers and timers[0][0] <= now:
            timer = heapq.heappop(timers)[2]
            if not timer._cancelled:
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
