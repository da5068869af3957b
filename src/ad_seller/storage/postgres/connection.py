"""One connection to a PostgreSQL server, with the outcome of each failure known.

asyncpg's way of cancelling a statement opens another connection without any limit of time
(https://github.com/MagicStack/asyncpg/issues/1326). So a statement is never cancelled here, and one that takes too
long loses its connection.
"""

from __future__ import annotations

import asyncio
import select
from typing import Any, NamedTuple

import asyncpg


class NotReadyError(Exception):
    """There was no connection in the given time, and nothing was sent; one may come later."""


class NotSentError(Exception):
    """No connection could be made, and nothing was sent; the cause says why."""


class BrokenError(Exception):
    """The connection was lost after the statement had been sent; the cause says why."""


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

    Attributes:
        idle_since: when it was last used, in the event loop's time.
    """

    def __init__(self, raw: Any) -> None:
        """Find the socket."""
        self._raw = raw
        self._loop = asyncio.get_running_loop()
        self._deadline: float | None = None  # of the statement that runs
        self._is_late = False
        self._timer: asyncio.TimerHandle | None = None
        self.idle_since = 0.0
        socket = raw._transport.get_extra_info("socket")
        self._socket: Any = socket
        self._poll = select.poll()
        self._poll.register(socket.fileno(), select.POLLIN)

    @classmethod
    async def open(cls, options: dict[str, Any], timeout: float) -> Connection:
        """Connect within ``timeout`` seconds; ``options`` are those of `asyncpg.connect`.

        Raises:
            NotSentError: it cannot be done; the cause says why.
        """
        try:
            return cls(await asyncpg.connect(**options, timeout=timeout))
        except (OSError, ValueError, asyncpg.PostgresError, asyncpg.InterfaceError) as error:
            raise NotSentError(str(error)) from error

    @property
    def is_closed(self) -> bool:
        """Whether it has ended, as far as is known here."""
        closed: bool = self._raw.is_closed()
        return closed

    @property
    def is_quiet(self) -> bool:
        """Whether it can be used: on an idle connection nothing comes but the news of its end."""
        return not self.is_closed and not self._poll.poll(0)

    async def fetch(self, call: Call) -> list[Any]:
        """Run a statement and return its rows; if its deadline passes, the connection is closed.

        Raises:
            UnusableError: nothing was sent.
            BrokenError: sent, and the connection was lost.
            TimeoutError: sent, and no answer in time.
            asyncpg.PostgresError: the server refused; nothing was applied.
        """
        self._deadline, self._is_late = call.deadline, False
        if self._timer is None or self._timer.when() > call.deadline:
            self._set_timer(call.deadline)
        try:
            rows: list[Any] = await self._raw.fetch(call.statement, *call.parameters)
        except asyncpg.InternalClientError as error:
            if str(error).startswith("cannot switch to state"):  # the news of its end has come, and no more yet
                raise UnusableError from error
            raise BrokenError(str(error)) from error
        except asyncpg.PostgresError as error:
            if self._is_late:
                raise TimeoutError("no answer in time") from error
            if self.is_closed or isinstance(error, asyncpg.PostgresConnectionError):
                raise BrokenError(str(error)) from error
            raise
        except (OSError, asyncpg.InterfaceError) as error:
            if self._is_late:
                raise TimeoutError("no answer in time") from error
            if not self.is_closed:
                raise  # a parameter that asyncpg cannot encode: not sent
            raise BrokenError(str(error)) from error
        except asyncio.CancelledError:
            self.terminate()  # at the end of the event loop; otherwise asyncpg would go on to cancel the statement
            raise
        finally:
            self._deadline = None
        return rows

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
        """Close it without waiting for anything."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        self._raw.terminate()

    def leave(self) -> None:
        """Close our end of the socket and send nothing: the session is a parent's, or its event loop has ended."""
        self._socket._sock.close()
        self._raw._aborted = True  # so that asyncpg does not say goodbye when this is collected as garbage
