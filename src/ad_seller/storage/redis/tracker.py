"""Whether the listing index can be trusted: what other programs write beside it is noticed, and put right.

Redis tells one connection of each instance which keys were changed (CLIENT TRACKING), of the kinds that it lists.
Who lists over that connection has, before the answer, been told of every write to such a kind that had ended before
the listing began, because Redis tells before it answers the writer. What was missed before a kind was told of is
found by a survey: a look at all its keys. A new connection has missed something of each kind.
"""

from __future__ import annotations

import asyncio
import logging
import math
import uuid
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from contextlib import suppress
from functools import partial
from typing import Any, Final, TypeVar

from redis.exceptions import ResponseError

from ..concurrency.tasks import later
from ..concurrency.timeslice import TimeSlice
from ..concurrency.wakeups import WAITING
from ..driver.failures import LostError, NotSentError
from ..records.globs import prefix_glob
from .errors import is_forbidden
from .index import BEGIN, END, LIST, PART, RECONCILE, Part, index_name, scanned
from .listener import Listener
from .news import News
from .pool import NodePool
from .rounds import Rounds, told_to_others
from .scripts import Argument, Script

log = logging.getLogger("ad_seller.storage")

T = TypeVar("T")

_TRIES: Final = 3  #: rebuilds that a listing waits for, while somebody keeps removing the index
_FAREWELL: Final = 0.5  #: seconds in which a server may take note that we leave
_FORBIDDEN_FOR: Final = 60.0  #: seconds after which a server that allows no index is asked again
_REFUSED_FOR: Final = 1.0  #: the same after any other refusal, e.g. because it is out of memory


class IndexTracker:
    """Answers listings of one server from the index, for one instance.

    Attributes:
        pool: leads to the server.
        spent: seconds that surveys took.

    Args:
        pool: see above.
        prefix: what stands before each key.
        timeout: seconds that each step of a survey may take.
    """

    def __init__(self, pool: NodePool, prefix: str, timeout: float) -> None:
        """Nothing is watched before the first listing."""
        self.pool = pool
        self.spent = 0.0
        self._prefix = prefix
        self._index = index_name(prefix)
        self._timeout = timeout
        self._loop = asyncio.get_running_loop()
        self._lock = asyncio.Lock()
        self._listener = Listener(pool, prefix, self._index, self._hear)
        self._generation: bytes | None = None  # stands in the index that is, or is being, surveyed
        self._last_generation = b""  # the last generation that was put there, trusted or not
        self._surveyed: set[str] = set()  # the scopes of which the index misses nothing
        self._news = News(prefix, self._index)
        self._reconciling: asyncio.Task[None] | None = None
        self._rounds: Rounds[bytes | None] = Rounds()  # of `assure`
        self._closed = self._was_refused = False
        self._refused_until = -math.inf
        self._failure: tuple[float, Exception] = (-math.inf, NotSentError())

    @property
    def is_trusted(self) -> bool:
        """Whether the index misses nothing of what was listed; else the next listing surveys it, or walks."""
        return self._generation is not None and bool(self._surveyed)

    def _misses_nothing(self, start: str) -> bool:
        """Tell whether the index misses no name that begins so."""
        return self._generation is not None and start.startswith(tuple(self._surveyed))

    def ask(self, part: Part, deadline: float, *, first: bool) -> Coroutine[Any, Any, list[Any] | None]:
        """Return what `LIST` answers, or None where there can be no index that is trustworthy.

        Args:
            part: what is asked for.
            deadline: for the answer, in the event loop's time; the time that surveys take is added.
            first: whether the listing begins here. What is written later it need not see.

        Raises:
            NotSentError, LostError: the server cannot be reached, or the connection was lost.
        """
        return self._trusted(lambda until: self._list(part, until, first), part.start, deadline)

    async def assure(self, start: str, deadline: float) -> bytes | None:
        """Make the index right about all that had ended before; return its generation, or None as `ask` does.

        Until that is gone from the index, it misses no name that begins with ``start``. All who call for the same
        scope before one round begins share it.
        """
        scope = self._listener.scope_of(start)
        run = partial(self._trusted, start=scope, until=deadline)
        return await self._rounds.share(scope, lambda begins: run(partial(self._up_to_date, begins)), deadline)

    async def _trusted(self, work: Callable[[float], Awaitable[T | None]], start: str, until: float) -> T | None:
        began, spent = self._loop.time(), self.spent
        if self._closed or began < self._refused_until:
            return None
        async with self._lock:
            until += min(self._loop.time() - began, self.spent - spent)
            failed_at, failure = self._failure  # or all who wait here would try one after the other
            if failed_at > began:
                raise told_to_others(failure)
            if until <= self._loop.time():  # to try would end the connection
                raise NotSentError("no answer in time") from TimeoutError()
            self._news.listed(self._listener.scope_of(start), told=self._misses_nothing(start))
            try:
                for _ in range(_TRIES):
                    if not (self._misses_nothing(start) and self._listener.is_quiet):
                        until = await self._prepare(start, until)
                    try:
                        if (answer := await work(until)) is not None:
                            return answer
                    except ResponseError as error:
                        if "WRONGTYPE" not in str(error):  # what else has the index's name, the next survey removes
                            raise
                    self._generation = None
            except ResponseError as error:
                self._give_up(error)
            except (NotSentError, LostError) as error:
                self.pool.learn(error)
                if isinstance(error, NotSentError) or isinstance(error.__cause__, TimeoutError):
                    self._failure = (self._loop.time(), error)  # where one was lost, the next makes another
                raise
        return None

    def does_without(self) -> bool:
        """Tell whether a listing that begins now is to look at all keys within its own script."""
        return not (self.is_trusted or self._closed or WAITING) and self._news.do_without()

    def hears(self, start: str) -> bool:
        """Tell whether it is told of all changes of what begins so, as far as is known; a listing sees to that."""
        return self._generation is not None and self._listener.tells_of(start)

    async def close(self) -> None:
        """End what goes on, and the connection; our generation and an index without names go, too."""
        self._closed = True
        await self._rounds.close()
        if (task := self._reconciling) is not None:
            task.cancel()
            await asyncio.wait([task])
        self._drop()
        if self._last_generation:
            with suppress(LostError, NotSentError, TimeoutError):
                async with asyncio.timeout(_FAREWELL):
                    command = ("EVAL", END.text, "1", self._index, self._last_generation)
                    await self.pool.pipeline([command], self._loop.time() + _FAREWELL)

    async def _prepare(self, start: str, deadline: float) -> float:
        """Listen, and survey what begins so if need be; return the deadline, later by what a survey took."""
        listener = self._listener
        if not (await listener.is_usable() and await listener.add(listener.scope_of(start), deadline)):
            self._drop()
            await listener.connect(listener.scope_of(start), deadline)
            if self._closed:
                self._drop()
                raise NotSentError("the listings were closed")
        if not self._misses_nothing(start):
            spent = self.spent
            await self._survey(listener.scope_of(start), deadline)
            deadline += self.spent - spent
        return deadline

    async def _list(self, part: Part, deadline: float, first: bool) -> list[Any] | None:
        """Return what the index answers; None if somebody removed it, or changed more than can be remembered.

        An answer counts only if the index was right when it was taken: about all names of which the news came
        before that answer. It is not enough to find it right later, because others repair it, too.
        """
        generation, was_quiet = self._generation, not self._news
        if first and not was_quiet:
            await self._listener.ask(("PING",), deadline)  # before its answer comes the news of all that had ended
        answer = await self._list_now(part, deadline)
        if first and was_quiet and self._news:
            answer = await self._list_now(part, deadline)
        return answer if self._generation == generation or not first else None

    async def _up_to_date(self, begins: Callable[[], object], deadline: float) -> bytes | None:
        begins()
        generation = self._generation
        score = await self._listener.ask(("ZSCORE", self._index, generation or b""), deadline)
        if self._news:  # all names of what had ended when this was asked are known now
            await self._reconcile(deadline)
        return generation if score is not None and self._generation == generation else None

    async def _list_now(self, part: Part, deadline: float) -> list[Any] | None:
        """Make the index right about the names that are known to have changed, then ask it, in one round trip."""
        if len(self._news) > PART:
            await self._reconcile(deadline)
        names = self._news.take()  # many again, if many came while those before were looked at
        calls: list[tuple[Script, Sequence[Argument]]] = [
            (RECONCILE, names[begin : begin + PART]) for begin in range(0, len(names), PART)
        ]
        calls.append((LIST, (self._generation or b"", *part.arguments)))
        with self._news.kept(names):
            answers: list[list[Any] | None] = await self._listener.run(calls, deadline)
        return answers[-1]

    # --- trust -----------------------------------------------------------------------------------------

    async def _survey(self, scope: str, deadline: float) -> None:
        """Look at every key of a scope that is told of; from now on the index misses none of them."""
        began, many, keys = self._loop.time(), 0, None
        kind = prefix_glob(scope.removeprefix(self._prefix))
        try:
            if not self.is_trusted:
                self._news.clear()
                self._surveyed.clear()
                before, self._last_generation = self._last_generation, b"\0" + uuid.uuid4().hex.encode()
                self._generation = self._last_generation
                [keys] = await self._listener.run([(BEGIN, (self._generation, before))], deadline)
            async for names in scanned(self.pool, self._prefix, kind, self._timeout, None, ""):
                many += len(names)
                await self._look_at(names, None)  # also what is no string any more, and is still in the index
        finally:  # also of one that is cancelled: for the others who wait it is no time of their own
            seconds = self._loop.time() - began
            self.spent += seconds
        self._surveyed.add(scope)  # counts as long as the generation does
        self._news.surveyed(seconds, many, keys)

    async def _reconcile(self, deadline: float | None) -> None:
        """Make the index right about the names that were changed."""
        names = self._news.take()
        with self._news.kept(names):
            await self._look_at(names, deadline)

    async def _look_at(self, names: list[bytes], deadline: float | None) -> None:
        pace = TimeSlice()
        for begin in range(0, len(names), PART):
            until = deadline or self._loop.time() + self._timeout
            await self._listener.run([(RECONCILE, names[begin : begin + PART])], until)
            await pace.checkpoint()

    def _hear(self, push: list[Any]) -> None:
        """Remember what was changed."""
        if push[0] != b"invalidate" or self._generation is None:
            return
        if push[1] is None:
            self._generation = None  # all keys were removed, perhaps to load others, of which nothing would be said
            return
        self._news.add(push[1], self._listener.scope_told(push[1][0]))
        if self._news.cost_more and not (self._lock.locked() or WAITING):
            self._news.cost_too_much()
            self._drop()
            return
        if self._news.are_too_many:
            self._news.clear()
            self._generation = None
        self._reconcile_many()

    def _reconcile_many(self) -> None:
        """Begin to look at what was changed if it has become much."""
        if self.is_trusted and not self._closed and self._news.are_many and self._reconciling is None:
            self._reconciling = later(self._reconcile_soon())
            self._reconciling.add_done_callback(self._reconciled)

    async def _reconcile_soon(self) -> None:
        async with self._lock:
            if self.is_trusted:
                try:
                    await self._reconcile(None)
                except (ResponseError, NotSentError, LostError):
                    self._generation = None  # or it would be tried again and again; the next listing says why

    def _reconciled(self, task: asyncio.Task[None]) -> None:
        self._reconciling = None
        self._reconcile_many()  # for what came meanwhile

    def _give_up(self, error: ResponseError) -> None:
        """Let listings walk: for long where the server allows no index, else until it may work again."""
        forbidden = is_forbidden(error)
        if not self._was_refused:
            log.warning("Listings walk over all keys of the server, because it allows no index for now: %s", error)
        self._was_refused = forbidden
        self._refused_until = self._loop.time() + (_FORBIDDEN_FOR if forbidden else _REFUSED_FOR)
        self._drop()

    def _drop(self) -> None:
        self._generation = None
        self._news.stopped()
        self._listener.drop()
