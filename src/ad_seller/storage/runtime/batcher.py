"""Calls of one event-loop tick become one bulk call.

Each caller waits on its own future, and the bulk call runs in a task of the batcher, or in a thread of the engine.
So a cancelled caller never interrupts the engine half way and never leaves a connection, a lock or an answer
behind: a request that has not been sent is dropped, one that has been sent takes effect and nobody is told.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Iterator, Sequence
from functools import partial
from typing import Any, Generic, TypeVar

from ..concurrency.tasks import later, settle
from ..driver.engine import Tell
from ..driver.failures import NotStartedError
from ..stats import BatchStats
from .deadlines import Deadlines
from .request import Request, items_of, woken_at_once

T = TypeVar("T")
R = TypeVar("R")

_GRACE = 1.0  #: seconds beyond its time that a request waits for an attempt which may not have started


class Batcher(Generic[T, R]):
    """Collects requests and runs them in bulk, in the order of their arrival.

    Args:
        run: the bulk call: results for the items of the batch, in order, and futures of those that come later. What
            it raises holds for every item; where some have taken effect and others not, an exception stands in the
            place of a result.
        explain: makes a new error for one request out of what ``run`` raised, or out of ``TimeoutError`` or
            ``NotStartedError`` (with its cause) when the request's time is up.
        timeout: seconds that a request waits for its answer.
        reserve: how many seconds before that it is given up, so that its caller has the error in time.
        max_items: how many items one bulk call carries; a single request is never split.
        concurrency: how many bulk calls run at the same time.
        begin: what is used instead of ``run`` where there is such a thing: it begins the bulk call elsewhere, and
            has the event loop call what it is given when that has ended. This saves a task and a turn of the loop.
    """

    def __init__(
        self,
        run: Callable[[list[T]], Awaitable[Sequence[R | asyncio.Future[R]]]],
        *,
        explain: Callable[[BaseException, Request[T, R]], BaseException],
        timeout: float,
        reserve: float = 0.0,
        max_items: int = 512,
        concurrency: int = 1,
        begin: Callable[[list[T], Tell[R]], None] | None = None,
    ) -> None:
        """Belong to the running event loop from now on."""
        self._run = run
        self._begin = begin
        self._explain = explain
        self._too_late = partial(TimeoutError, f"no answer within {timeout:g} s")
        self._patience = timeout - reserve
        self._max_items = max_items
        self._concurrency = concurrency
        self._loop = asyncio.get_running_loop()
        self._queue: deque[Request[T, R]] = deque()
        self._deadlines: Deadlines[T, R] = Deadlines(self._expired)
        self._tasks: set[asyncio.Future[None]] = set()
        self._unfinished: set[asyncio.Future[Any]] = set()
        self.running: set[object] = set()  #: bulk calls at which the engine is at work
        self._starting: asyncio.Future[None] | None = None
        self._last_not_started: BaseException | None = None
        self._calls = self._batches = self._entries = self._largest = 0
        self.put_back = 0  #: calls that had not begun and were queued again

    @property
    def stats(self) -> BatchStats:
        """What was counted; from any thread."""
        return BatchStats(self._calls, self._batches, self._entries, self._largest, self._deadlines.waiting)

    def submit(self, items: Sequence[T]) -> asyncio.Future[list[R]]:
        """Have ``items`` handled in one bulk call, together with those of other callers.

        Returns:
            The future of their results, to be cancelled by who no longer wants them.
        """
        future: asyncio.Future[list[R]] = self._loop.create_future()
        if not items:
            future.set_result([])
            return future
        request: Request[T, R] = Request(items, future, self._loop.time() + self._patience)
        self._calls += 1
        self._queue.append(request)
        self._deadlines.add(request)
        if self._starting is None:
            self._schedule()
        return future

    async def drain(self) -> None:
        """Wait until everything that was submitted has been answered; who gives that up has all told that wait."""
        try:
            while self._revive():
                under_way = [one for one in (*self._tasks, *self._unfinished) if not one.done()]
                await (asyncio.wait(under_way) if under_way else asyncio.sleep(0))
        finally:
            self._deadlines.stop()

    def _schedule(self) -> None:
        """Have what is queued taken in the next turn of the event loop, with all that this turn still brings."""
        if self._queue and self._starting is None and len(self._tasks) < self._concurrency:
            work: asyncio.Future[None]
            if self._begin is None:
                work = later(self._perform())
                work.add_done_callback(self._finished)
            else:
                work = self._loop.create_future()
                self._loop.call_soon(self._start, work, self._begin)
            self._starting = work  # only now: an interrupt before that must not leave what is never started
            self._tasks.add(work)

    def _finished(self, task: asyncio.Future[None]) -> None:
        self._tasks.discard(task)
        if self._starting is task:
            self._starting = None  # cancelled before its first step, by an event loop that ends
        self._deadlines.forget_answered()
        self._schedule()

    def _revive(self) -> bool:
        """Go on without what an interrupt may have lost, ends and a start; tell whether something is under way."""
        if self._begin is not None and self._starting is not None:
            settle(self._starting)
        self._tasks -= {one for one in self._tasks if one.done()}
        if self._starting not in self._tasks:
            self._starting = None
        self._schedule()
        return bool(self._tasks or self._unfinished)

    def _next_batch(self) -> list[Request[T, R]]:
        batch: list[Request[T, R]] = []
        size = 0
        while self._queue:
            request = self._queue[0]
            if not request.future.done():
                if batch and size + len(request.items) > self._max_items:
                    break
                size += len(request.items)
                request.sent = True
                batch.append(request)
            self._queue.popleft()
        if batch:
            self._batches += 1
            self._entries += size
            if size > self._largest:
                self._largest = size
        return batch

    # --- by a task -------------------------------------------------------------------------------------

    async def _perform(self) -> None:
        self._starting = None
        batch = self._next_batch()
        self._schedule()
        if batch:
            await self._handle(batch)

    async def _handle(self, batch: list[Request[T, R]]) -> None:
        results, error, call = None, None, object()
        self.running.add(call)
        try:
            results = await self._run(items_of(batch))
        except BaseException as failure:
            error = failure
        self.running.discard(call)
        for _ in self._answers(batch, results, error):
            await asyncio.sleep(0)
        if error is not None and not isinstance(error, Exception):
            raise error

    # --- by what the engine begins -----------------------------------------------------------------------
    # Callbacks of the event loop, which may go on after an interrupt such as KeyboardInterrupt: no task is there to
    # end with it, so each of them lets the next batch begin, whatever happens.

    def _start(self, work: asyncio.Future[None], begin: Callable[[list[T], Tell[R]], None]) -> None:
        if work is not self._starting:
            return  # another one begins in its place
        try:
            self._starting = None
            batch = self._next_batch()
            self._schedule()
            if not batch:
                self._end(work)
                return
            self.running.add(work)
            try:
                begin(items_of(batch), partial(self._told, work, batch))
            except BaseException as error:
                self.running.add(work)  # also if it was telling already
                self._told(work, batch, None, error)
        except BaseException:
            self._end(work)
            raise

    def _told(
        self,
        work: asyncio.Future[None],
        batch: list[Request[T, R]],
        results: Sequence[R | asyncio.Future[R]] | None,
        error: BaseException | None,
    ) -> None:
        try:
            if work not in self.running:
                return  # an interrupt has ended it
            self.running.discard(work)
            self._go_on(work, self._answers(batch, results, error))
            if error is not None and not isinstance(error, Exception):
                raise error
        except BaseException:
            self._end(work)
            raise

    def _go_on(self, work: asyncio.Future[None], answers: Iterator[None]) -> None:
        try:
            for _ in answers:
                self._loop.call_soon(self._go_on, work, answers)
                return
            self._end(work)
        except BaseException:
            self._end(work)
            raise

    def _end(self, work: asyncio.Future[None]) -> None:
        self.running.discard(work)
        settle(work)
        self._finished(work)

    def _answers(
        self,
        batch: list[Request[T, R]],
        results: Sequence[R | asyncio.Future[R]] | None,
        error: BaseException | None,
    ) -> Iterator[None]:
        """Hand out the results, or what failed; yield when those who were woken are to have their turn."""
        if results is not None and len(results) != (size := sum([len(request.items) for request in batch])):
            error = RuntimeError(f"a bulk call gave {len(results)} results for {size} items")
        if isinstance(error, NotStartedError):
            self._last_not_started = error
            self._put_back(batch, error)
        elif error is not None or results is None:
            for request in batch:
                self._fail(request, error or RuntimeError("a bulk call gave no results"))
        else:
            self._last_not_started = None
            some_come_later = asyncio.Future in map(type, results)
            position, at_once = 0, woken_at_once(results, len(batch))
            for number, request in enumerate(batch, start=1):
                end = position + len(request.items)
                if some_come_later:
                    self._answer_later(request, results[position:end])
                elif not request.future.done():
                    request.future.set_result(results[position:end])  # type: ignore[arg-type]  # no future among them
                position = end
                if number % at_once == 0:
                    yield

    def _answer_later(self, request: Request[T, R], results: Sequence[R | asyncio.Future[R]]) -> None:
        rest = request.answer(results, self._fail)
        if rest is not None:
            self._unfinished.add(rest)
            rest.add_done_callback(self._unfinished.discard)

    def _put_back(self, batch: list[Request[T, R]], error: NotStartedError) -> None:
        """Queue again what was not started, as first; or fail it if its time is up."""
        now = self._loop.time()
        for request in reversed(batch):
            request.sent = False
            if request.deadline <= now:
                self._fail(request, error)
            else:
                self.put_back += 1
                self._queue.appendleft(request)

    def _fail(self, request: Request[T, R], error: BaseException) -> None:
        """Tell one caller; whatever goes wrong at that is his alone, the others still hear of theirs."""
        if request.future.done():
            return
        try:
            error = self._explain(error, request)
        except Exception as failure:
            error = failure
        settle(request.future, error=error)

    def _expired(self, request: Request[T, R]) -> None:
        self._revive()
        if self._last_not_started is None:
            self._fail(request, self._too_late())
        elif request.sent:  # it is about to tell whether it has started, and the outcome is known
            timer = self._loop.call_later(_GRACE, self._fail, request, self._too_late())
            request.future.add_done_callback(lambda _: timer.cancel())
        else:
            self._fail(request, self._last_not_started)
