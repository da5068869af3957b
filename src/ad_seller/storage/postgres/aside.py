"""Commits that wait for a row which another session holds: beside all others, and for each row apart."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Sequence
from functools import partial

import asyncpg

from ..concurrency.tasks import later
from ..driver.commit import Commit, Outcome
from ..driver.failures import NotStartedError

Answer = Outcome | Exception
Send = Callable[[Sequence[Commit], float, float | None], Awaitable[list[Outcome]]]

_SHARE = 0.8  #: of the time-out, after which a commit is given up: then it is known that nothing was written
_WAIT_SHARE = 0.2  #: of the time-out, for which one attempt stands in the server's line for the row
_REMEMBERED = 1000  #: keys at most

_HELD_BY_OTHERS = (
    asyncpg.LockNotAvailableError,
    asyncpg.DeadlockDetectedError,
    asyncpg.SerializationError,
)


class Aside:
    """Commits that wait, those for one key in the order of their calls.

    At most about half of the connections stand in line for rows, so the others go on working. With a single
    connection each attempt is short, and there are pauses between them.

    Args:
        send: applies commits in one call, with a wait for locks and a patience for a connection, in seconds.
        most: connections at most.
        timeout: seconds that a call may take.
        short_wait: seconds of an attempt where there is but one connection.
    """

    def __init__(self, send: Send, *, most: int, timeout: float, short_wait: float) -> None:
        """Nothing waits yet."""
        self._send = send
        self._loop = asyncio.get_running_loop()
        self._slots = asyncio.Semaphore(max(1, (most - 1) // 2))
        self._limit = _SHARE * timeout
        self._wait = _WAIT_SHARE * timeout if most > 1 else short_wait
        self._pause = 0.0 if most > 1 else short_wait
        self._last: dict[str, asyncio.Task[None]] = {}
        self._expected: dict[str, float] = {}

    @property
    def is_empty(self) -> bool:
        """Whether nothing waits, and no row is believed to be held."""
        return not self._last and not self._expected

    def concerns(self, commit: Commit) -> bool:
        """Tell whether a commit must wait here, for a row or for one that came before it."""
        if self.is_empty:
            return False
        now = self._loop.time()
        return any(key in self._last or self._expected.get(key, 0.0) > now for key in commit.keys)

    def expect(self, keys: Iterable[str]) -> None:
        """Take note that other sessions hold these rows; that is believed until one is written, or for a while."""
        if len(self._expected) > _REMEMBERED:
            self._expected.clear()
        self._expected |= dict.fromkeys(keys, self._loop.time() + self._limit)

    def add(self, commit: Commit) -> asyncio.Future[Answer]:
        """Let a commit wait; return the future of what it comes to, to be cancelled by who no longer wants it."""
        answer: asyncio.Future[Answer] = self._loop.create_future()
        keys = commit.keys
        earlier = {self._last[key] for key in keys if key in self._last}
        task = later(self._work(commit, earlier, answer))
        self._last |= dict.fromkeys(keys, task)
        task.add_done_callback(partial(self._ended, keys, answer))
        return answer

    async def drain(self) -> None:
        """Wait until all have come to something."""
        while self._last:
            await asyncio.wait(set(self._last.values()))

    async def _work(self, commit: Commit, earlier: set[asyncio.Task[None]], answer: asyncio.Future[Answer]) -> None:
        end = self._loop.time() + self._limit
        if earlier:
            await asyncio.wait(earlier, timeout=self._limit)
        while not answer.done():
            async with self._slots:
                outcome = await self._attempt(commit, answer, end)
            if outcome is not None:
                _tell(answer, outcome)
            await asyncio.sleep(self._pause)

    async def _attempt(self, commit: Commit, answer: asyncio.Future[Answer], end: float) -> Answer | None:
        """Return what the commit has come to; None if it may be tried again."""
        if answer.done() or self._loop.time() + self._wait > end:
            return _given_up("earlier writes wait for it, too")
        try:
            [outcome] = await self._send([commit], self._wait, None)
        except _HELD_BY_OTHERS as error:
            self.expect(commit.keys)
            return None if self._loop.time() + self._wait <= end else _given_up(error)
        except Exception as error:
            return error
        for key in commit.keys:
            self._expected.pop(key, None)
        return outcome

    def _ended(self, keys: list[str], answer: asyncio.Future[Answer], task: asyncio.Task[None]) -> None:
        for key in keys:
            if self._last.get(key) is task:
                del self._last[key]
        if not task.cancelled():
            task.exception()
        answer.cancel()  # if there is none: the event loop ends


def _tell(answer: asyncio.Future[Answer], outcome: Answer) -> None:
    if not answer.done():
        answer.set_result(outcome)


def _given_up(reason: object) -> NotStartedError:
    failure = NotStartedError(f"other sessions hold what it needs ({reason}); end the long transaction among them")
    failure.__cause__ = reason if isinstance(reason, BaseException) else None
    return failure
