"""Statements to one PostgreSQL server: which may run twice, and which exactly once."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine
from contextlib import asynccontextmanager
from functools import partial
from typing import Any, TypeVar

import asyncpg

from ..concurrency.tasks import later
from ..driver.failures import LostError, NotSentError, NotStartedError
from ..stats import PoolStats
from .connection import Call, Connection, UnusableError
from .login import Login
from .pool import PostgresPool, Prepare
from .waiting import NoneFreeError

T = TypeVar("T")

#: The part of a call's time for which it waits for a connection: why there is none is to be told before that is up.
_PATIENT = 0.95
_YOUNG = 1.0  #: seconds for which a session is kept also if its server takes no writes: a new one would be alike
Fetch = Callable[..., Awaitable[list[Any]]]

#: Its first statement fixes what all of them see.
_BEGIN = "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY"


class PostgresClient:
    """Statements over a few connections to one server.

    Args:
        login: what sessions are begun with.
        least: how many connections are kept open.
        most: how many at most; callers wait for a free one.
        timeout: seconds for connecting, and for each answer.
    """

    def __init__(self, login: Login, *, least: int, most: int, timeout: float) -> None:
        """Nothing is connected yet."""
        self._pool = PostgresPool(login, least=least, most=most, timeout=timeout)
        self._timeout = timeout
        self._loop = asyncio.get_running_loop()
        self._tasks: set[asyncio.Task[Any]] = set()
        self.retries = 0  #: reads that were sent a second time

    @property
    def stats(self) -> PoolStats:
        """The connections at this moment; from any thread."""
        return self._pool.stats

    # --- life cycle ------------------------------------------------------------------------------------

    async def open(self, prepare: Prepare | None) -> None:
        """Make the first connections; see `PostgresPool.open`."""
        await self._pool.open(prepare)

    async def close(self) -> None:
        """Close all connections, after what is under way."""
        while running := [task for task in self._tasks if not task.done()]:
            await asyncio.wait(running)
        await self._pool.close()

    def abandon(self) -> None:
        """Give the connections up, from any thread: see `Engine.abandon`."""
        self._pool.abandon()

    # --- statements ------------------------------------------------------------------------------------

    async def read(self, statement: str, *parameters: Any, cancellable: bool = False) -> list[Any]:
        """Return the rows of a statement that may run twice; it does if the connection breaks.

        Args:
            statement: with $1 and so on for the parameters.
            parameters: their values.
            cancellable: the caller may be cancelled: then the statement runs to its end in a task of its own.

        Raises:
            NotSentError, LostError: no answer; see `write`.
            asyncpg.PostgresError: the server refused.
        """
        now = self._loop.time()
        patient_until, deadline = now + _PATIENT * self._timeout, now + self._timeout
        call = Call(statement, parameters, patient_until, deadline, cancellable=cancellable)
        try:
            return await self._run(call)
        except LostError as error:
            if isinstance(error.__cause__, TimeoutError):
                raise
            self._pool.drop_idle()  # they have most likely been lost with the same server
            self.retries += 1
            return await self._run(call)

    async def in_snapshot(self, work: Callable[[Fetch], Awaitable[T]]) -> T:
        """Return what ``work`` returns, which is given a function to run statements that all see one moment.

        They run on one connection, and once more if that breaks, in a task of their own. If the caller is cancelled
        the next one is not sent.

        Raises:
            NotSentError, LostError: no answer; see `write`.
            asyncpg.PostgresError: the server refused.
        """
        given_up = asyncio.Event()
        try:
            try:
                return await self._shielded(self._in_snapshot(work, given_up))
            except LostError as error:
                if isinstance(error.__cause__, TimeoutError):
                    raise
                self._pool.drop_idle()
                self.retries += 1
                return await self._shielded(self._in_snapshot(work, given_up))
        finally:
            given_up.set()

    async def _in_snapshot(self, work: Callable[[Fetch], Awaitable[T]], given_up: asyncio.Event) -> T:
        connection = await self._begun()
        fetch = partial(self._fetch_on, connection, self._timeout)

        async def fetch_unless_given_up(statement: str, *parameters: Any) -> list[Any]:
            if given_up.is_set():
                raise LostError("nobody waits for it")
            return await fetch(statement, *parameters)

        try:
            try:
                return await work(fetch_unless_given_up)
            finally:
                if not connection.is_closed:
                    await fetch("ROLLBACK")  # nothing was written
        finally:
            if connection.is_closed:
                self._pool.drop_idle()
            self._pool.release(connection)

    async def _begun(self) -> Connection:
        now = self._loop.time()
        patient_until, deadline = now + _PATIENT * self._timeout, now + self._timeout
        while True:
            connection = await self._acquire(patient_until, first=False)
            try:
                await connection.fetch(Call(_BEGIN, (), deadline, deadline))
            except UnusableError:
                self._pool.release(connection)
            except BaseException:
                connection.terminate()
                self._pool.release(connection)
                raise
            else:
                return connection

    async def _fetch_on(
        self, connection: Connection, seconds: float, statement: str, *parameters: Any
    ) -> list[Any]:
        end = self._loop.time() + seconds
        try:
            return await connection.fetch(Call(statement, parameters, end, end))
        except UnusableError as error:
            raise LostError("the session had ended") from error

    def write(
        self, statement: str, *parameters: Any, patience: float | None = None, deadline: float | None = None
    ) -> Coroutine[Any, Any, list[Any]]:
        """Send a statement exactly once and return its rows; the caller is not cancelled.

        Args:
            statement: with $1 and so on for the parameters.
            parameters: their values.
            patience: seconds to wait for a connection, before all others; as long as for an answer if not given.
            deadline: when to stop waiting for an answer, in the event loop's time, if not after the time-out.

        Raises:
            NotSentError: nothing was sent.
            NotStartedError: no connection within ``patience``; nothing was sent.
            LostError: sent, and the connection was lost or no answer came in time.
            asyncpg.PostgresError: the server refused; nothing was applied.
        """
        now = self._loop.time()
        deadline = now + self._timeout if deadline is None else deadline
        end = deadline if patience is None else now + patience
        return self._run(Call(statement, parameters, end, deadline, patience is not None))

    @asynccontextmanager
    async def borrowed(self, seconds: float) -> AsyncIterator[Callable[..., Awaitable[list[Any]]]]:
        """Yield a function that runs statements on a connection of their own, which is closed afterwards.

        Args:
            seconds: for which each answer is waited; a statement that is cancelled is abandoned.

        Raises:
            NotSentError: there is no connection; the function raises what `write` does.
        """
        connection = await self._acquire(self._loop.time() + self._timeout, first=False)

        try:
            yield partial(self._fetch_on, connection, seconds)
        finally:
            self.end(connection)

    # --- a connection that is told something ------------------------------------------------------------

    async def listening(self, channel: str, hear: Callable[..., None], seconds: float) -> Connection:
        """Return a connection of the pool that hears what is notified on ``channel``; give it back by `end`.

        Raises:
            NotSentError, LostError, UnusableError: there is none within ``seconds``.
            asyncpg.PostgresError: the server refused.
        """
        deadline = self._loop.time() + seconds
        connection = await self._acquire(deadline, first=False)
        try:
            await connection.listen(channel, hear, deadline)
        except BaseException:
            self.end(connection)
            raise
        return connection

    async def look_at(self, connection: Connection, seconds: float) -> None:
        """Have the server answer on ``connection``; raise what `listening` does if it does not."""
        await self._fetch_on(connection, seconds, "SELECT 1")

    def end(self, connection: Connection) -> None:
        """Close a connection, and let the pool make another one."""
        connection.terminate()
        self._pool.release(connection)

    async def _run(self, call: Call) -> list[Any]:
        while True:
            connection = self._pool.take_idle()
            if connection is None:
                connection = await self._acquire(call.patient_until, first=call.first)
            try:
                if not call.cancellable:
                    return await self._use(connection, call)
                return await self._shielded(self._use(connection, call))
            except UnusableError:
                continue  # each one is closed at that, so this ends

    async def _shielded(self, work: Coroutine[Any, Any, T]) -> T:
        """Have ``work`` run to its end also if the caller is cancelled."""
        task = later(work)
        self._tasks.add(task)
        task.add_done_callback(self._ended)
        return await asyncio.shield(task)

    async def _acquire(self, end: float, *, first: bool) -> Connection:
        try:
            return await self._pool.acquire(end, first=first)
        except NoneFreeError as error:
            raise (NotStartedError if first else NotSentError)(str(error)) from error

    async def _use(self, connection: Connection, call: Call) -> list[Any]:
        try:
            return await connection.fetch(call)
        except LostError as error:
            if isinstance(error.__cause__, TimeoutError):
                self._pool.drop_idle()  # nor would they answer, and a write that was sent has an unknown outcome
            raise
        except asyncpg.ReadOnlySQLTransactionError:
            if self._loop.time() - connection.begun > _YOUNG:
                self._pool.drop_idle()  # their server has become a standby: new ones look for that which is none
                connection.terminate()
            raise
        finally:
            self._pool.release(connection)

    def _ended(self, task: asyncio.Task[Any]) -> None:
        self._tasks.discard(task)
        _ = task.cancelled() or task.exception()  # looked at, so that asyncio does not report it as lost
