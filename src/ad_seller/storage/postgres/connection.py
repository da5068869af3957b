"""One connection to a PostgreSQL server, with the outcome of each failure known.

asyncpg's way of cancelling a statement opens another connection without any limit of time
(https://github.com/MagicStack/asyncpg/issues/1326). So a statement is never cancelled here, and one that takes too
long loses its connection.
"""

from __future__ import annotations

import asyncio
import select
import socket
import ssl
from collections.abc import Callable, Coroutine
from contextlib import suppress
from typing import Any, NamedTuple, TypeVar

import asyncpg

from ..driver.failures import LostError, NotSentError
from ..passwords import PasswordFunctionError
from .library import forget_closed_loop, had_ended_before, own_socket, security_of
from .login import Login

T = TypeVar("T")

#: What asyncpg raises when a session cannot be begun.
_REFUSALS = (
    OSError,
    ValueError,
    asyncpg.PostgresError,
    asyncpg.InterfaceError,
    asyncpg.TargetServerAttributeNotMatched,
    PasswordFunctionError,
)

#: Why a host does not take a session while another one may.
_OF_ONE_HOST = (
    OSError,
    asyncpg.PostgresConnectionError,
    asyncpg.CannotConnectNowError,
    asyncpg.TargetServerAttributeNotMatched,
)


async def _ask_password(options: dict[str, Any], deadline: float) -> None:
    """Ask the function for the password once for all hosts: none of their shares of the time may be enough."""
    if (ask := options.get("password")) is None:
        return
    try:
        async with asyncio.timeout_at(deadline):
            options["password"] = await ask()
    except (TimeoutError, PasswordFunctionError) as error:
        raise NotSentError(str(error) or "the function for the password did not answer in time") from error


class UnusableError(Exception):
    """The server had ended the connection before; nothing was sent."""


class Call(NamedTuple):
    """A statement, and how it is to be run.

    Attributes:
        statement: with $1 and so on for the parameters.
        parameters: their values.
        patient_until: when to stop waiting for a connection, in the event loop's time.
        deadline: when to stop waiting for the answer, likewise.
        first: whether to come before all others that wait.
        cancellable: whether the caller may be cancelled.
    """

    statement: str
    parameters: tuple[Any, ...]
    patient_until: float
    deadline: float
    first: bool = False
    cancellable: bool = False


class Connection:
    """One connection of asyncpg.

    Args:
        raw: what `asyncpg.connect` returned.
        keeps_statements: whether it was begun so that what is prepared stays.

    Attributes:
        idle_since: when it was last used, in the event loop's time.
        begun: when it was made, likewise.
        is_pooled: whether a pooler was met.
        is_terminated: whether it was ended here, not by the server.
        keeps_statements: see above.
    """

    def __init__(self, raw: Any, *, keeps_statements: bool = True) -> None:
        """Find the socket."""
        self._raw = raw
        self.keeps_statements = keeps_statements
        self._loop = asyncio.get_running_loop()
        self._deadline: float | None = None  # of the statement that runs
        self._is_late = False
        self._timer: asyncio.TimerHandle | None = None
        self.idle_since = 0.0
        self.begun = self._loop.time()
        self.is_pooled = self.is_terminated = False
        self._socket = own_socket(raw)
        self._poll = select.poll()
        self._poll.register(self._socket.fileno(), select.POLLIN)

    @classmethod
    async def open(cls, login: Login, timeout: float, like: Connection | None = None) -> Connection:
        """Begin a session within ``timeout`` seconds.

        Args:
            login: with what.
            timeout: in seconds.
            like: one of the same login that was begun just before: whether the server takes TLS need not be found
                out again, nor its certificates read.

        Raises:
            NotSentError: it cannot be done; the cause says why.
        """
        deadline = asyncio.get_running_loop().time() + timeout
        security = None if like is None else security_of(like._raw)
        try:
            connection = await cls._open(login, deadline, security)
        except NotSentError as error:
            if security is None and not isinstance(error.__cause__, asyncpg.ProtocolViolationError):
                raise
            # A pooler has come in between, which knows no start-up settings, or this is another server than before.
            login.doubt()
            connection = await cls._open(login, deadline)
        if connection.is_pooled:
            login.meet_pooler()
        if connection.keeps_statements and not login.has_sessions:  # also if another one has met the pooler
            connection.terminate()
            connection = await cls._open(login, deadline)
        return connection

    @classmethod
    async def _open(
        cls, login: Login, deadline: float, security: ssl.SSLContext | bool | None = None
    ) -> Connection:
        """Begin a session on the first host that takes it; one that does not answer has its share of the time."""
        now = asyncio.get_running_loop().time
        dsns, options = login.dsns, login.options
        if len(dsns) > 1:
            await _ask_password(options, deadline)
        for place, dsn in enumerate(dsns):
            end = now() + (deadline - now()) / (len(dsns) - place)
            try:
                connection = await cls._open_at(dsn, options, login, end, security)
            except NotSentError as error:
                if dsn is dsns[-1] or not isinstance(error.__cause__, _OF_ONE_HOST):
                    raise
            else:
                login.meet_host(dsn)
                return connection
        raise AssertionError("not reached: the last host raises or takes it")

    @classmethod
    async def _open_at(
        cls,
        dsn: str,
        options: dict[str, Any],
        login: Login,
        deadline: float,
        security: ssl.SSLContext | bool | None,
    ) -> Connection:
        has_sessions, at_start = login.has_sessions, login.makes_settings_at_start
        left = deadline - asyncio.get_running_loop().time()
        try:
            raw = await asyncpg.connect(dsn, **options, ssl=security, timeout=left)
            try:
                connection = cls(raw, keeps_statements=has_sessions)
            except OSError:  # no descriptor is left
                raw.terminate()
                raise
            if has_sessions and not at_start:
                await connection._make_settings(login, deadline)
        except LostError as error:
            raise NotSentError(str(error)) from error.__cause__
        except _REFUSALS as error:
            raise NotSentError(str(error)) from error
        return connection

    async def _make_settings(self, login: Login, deadline: float) -> None:
        """Make our settings in one round trip, without preparing anything, which behind a pooler stays there."""
        statement = login.settings_for(self._raw.get_server_pid())
        try:
            tag = await self._answer(self._raw.execute(statement), deadline)
        except BaseException:
            self.terminate()
            raise
        self.is_pooled = tag == "SELECT 0"
        if not self.is_pooled:
            login.meet_server()

    @property
    def is_closed(self) -> bool:
        """Whether it has ended, as far as is known here."""
        closed: bool = self._raw.is_closed()
        return closed

    @property
    def is_reusable(self) -> bool:
        """Whether it can be used: on an idle connection nothing comes but the news of its end."""
        return not self.is_closed and not self._poll.poll(0)

    def fetch(self, call: Call) -> Coroutine[Any, Any, list[Any]]:
        """Run a statement and return its rows; if its deadline passes, the connection is closed.

        Raises:
            UnusableError: nothing was sent.
            LostError: sent, and the connection was lost, or no answer came in time (the cause is a TimeoutError).
            asyncpg.PostgresError: the server refused; nothing was applied.
        """
        return self._answer(self._raw.fetch(call.statement, *call.parameters), call.deadline)

    async def listen(self, channel: str, hear: Callable[..., None], deadline: float) -> None:
        """Have ``hear`` called with what is notified on ``channel`` from now on; raises what `fetch` does."""
        await self._answer(self._raw.add_listener(channel, hear), deadline)

    async def _answer(self, asked: Coroutine[Any, Any, T], deadline: float) -> T:
        self._deadline, self._is_late = deadline, False
        if self._timer is None or self._timer.when() > deadline:
            self._set_timer(deadline)
        try:
            return await asked
        except (asyncpg.InternalClientError, AttributeError) as error:
            if had_ended_before(error):
                raise UnusableError from error
            raise self._lost(error) from error
        except (OSError, asyncpg.PostgresError, asyncpg.InterfaceError) as error:
            lost = self._is_late or self.is_closed or isinstance(error, asyncpg.PostgresConnectionError)
            if not lost:
                raise  # the server's refusal, or a parameter that asyncpg cannot encode: not sent
            raise self._lost(error) from (TimeoutError("no answer in time") if self._is_late else error)
        except asyncio.CancelledError:
            self.terminate()  # at the end of the event loop; otherwise asyncpg would go on to cancel the statement
            raise
        finally:
            self._deadline = None

    def _lost(self, error: Exception) -> LostError:
        return LostError("no answer in time" if self._is_late else str(error))

    def _set_timer(self, when: float) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._timer = self._loop.call_at(when, self._look_at_the_clock)

    def _look_at_the_clock(self) -> None:
        """Give up what is late. One timer serves many statements: nearly all end long before their time is up."""
        self._timer = None
        if self._deadline is None:
            return
        if self._deadline > self._loop.time():
            self._set_timer(self._deadline)
        else:
            self._is_late = True
            self.terminate()

    def terminate(self) -> None:
        """Close it without waiting for anything; harmless twice."""
        self.is_terminated = True
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        self._raw.terminate()
        self._socket.close()

    def abandon(self) -> None:
        """End the session, from any thread: the event loop has ended or will not run again."""
        with suppress(OSError):  # the server was faster
            self._socket.shutdown(socket.SHUT_RDWR)
        self._socket.close()
        if self._loop.is_closed():
            forget_closed_loop(self._raw)
