"""One connection to a Redis server: commands out, answers in.

redis-py connects it, with TLS and login. From then on commands are packed and answers parsed by hiredis directly:
redis-py's own way from a command to its answer costs several times as much as all the rest of a call.
"""

from __future__ import annotations

import asyncio
import os
import select
import socket
from collections import deque
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Any, Final

import hiredis
from redis.exceptions import (
    AuthenticationError,
    AuthorizationError,
    BusyLoadingError,
    InvalidResponse,
    RedisError,
    ResponseError,
)
from redis.exceptions import ConnectionError as ConnectionLostError

from ..driver.failures import LostError, NotSentError
from .redispy import Connected
from .scripts import Argument

Command = Sequence[Argument]

_pack: Callable[[tuple[Argument, ...]], bytes] = hiredis.pack_command  # type: ignore[assignment]  # theirs are wrong

#: Answers of a server that executed nothing, which redis-py takes for broken connections.
_REFUSALS = (AuthenticationError, AuthorizationError, BusyLoadingError)

_LOOK: Final = 0.5  #: seconds in which a connection that may be dead has to answer

_NOTHING: Final = object()  # what the parser returns while an answer is incomplete


class _Exchange:
    """Commands that were sent, and the answers that have come."""

    __slots__ = ("answers", "count", "deadline", "future", "is_spared", "kept_until")

    def __init__(self, count: int, future: asyncio.Future[list[Any]], deadline: float, kept_until: float) -> None:
        self.count = count
        self.future = future
        self.deadline = deadline
        self.kept_until = kept_until  # before that, only its caller is told that it is late
        self.is_spared = False  # late already, when only others waited
        self.answers: list[Any] = []


class RedisConnection(asyncio.Protocol):
    """A connection on which answers come in the order of the commands.

    Args:
        connected: what redis-py has connected; it is ours from now on.
        on_push: gets what the server says unasked.
    """

    def __init__(self, connected: Connected, on_push: Callable[[list[Any]], None] | None = None) -> None:
        """Take the transport over."""
        self._loop = asyncio.get_running_loop()
        self._connected = connected
        self._on_push = on_push
        self._reader = hiredis.Reader(
            protocolError=InvalidResponse, replyError=connected.parse_error, notEnoughData=_NOTHING
        )
        self._exchanges: deque[_Exchange] = deque()
        self._timer: asyncio.TimerHandle | None = None
        self.is_doubtful = False  #: whether it may be dead without a sign; whatever is heard settles that
        self._transport = connected.transport
        self._transport.set_protocol(self)
        self._readable = select.poll()
        self._readable.register(self._transport.get_extra_info("socket"), select.POLLIN)

    def send(self, commands: Sequence[Command], deadline: float) -> asyncio.Future[list[Any]]:
        """Send commands and return the future of their answers; what the server refused is an exception among them.

        If the connection breaks, or the deadline passes, all is closed; where the server also speaks unasked, and
        several callers share that, not before it had a moment to answer. Cancelling the future is harmless: the
        answers are received and dropped.

        Args:
            commands: one or more.
            deadline: in the event loop's time.

        Raises:
            UnicodeEncodeError: an argument has no UTF-8; nothing was sent.
            NotSentError: none was executed; also as what the future raises.
            LostError: some may have been; only the future raises it.
        """
        if self.is_closing:
            raise NotSentError("the connection was closed")
        data = b"".join([_pack(tuple(command)) for command in commands])
        future: asyncio.Future[list[Any]] = self._loop.create_future()
        kept_until = 0.0 if self._on_push is None else self._loop.time() + _LOOK
        exchange = _Exchange(len(commands), future, deadline, kept_until)
        try:
            self._exchanges.append(exchange)
            self._transport.write(data)
        except BaseException:  # an interrupt: an exchange that was not sent would take the next one's answers
            future.cancel()  # nobody has it
            self._break(ConnectionLostError("interrupted while a command was sent"))
            raise
        if self._timer is None:
            self._timer = self._loop.call_at(deadline, self._check_time)
        elif deadline < self._timer.when():  # it runs on from an exchange that had more time
            self._timer.cancel()
            self._timer = self._loop.call_at(deadline, self._check_time)
        return future

    @property
    def is_closing(self) -> bool:
        """Whether the connection was closed, as far as is known."""
        return self._transport.is_closing()

    @property
    def is_quiet(self) -> bool:
        """Whether an idle connection can be used without a closer look."""
        return not (self.is_doubtful or self._transport.is_closing() or self._readable.poll(0))

    async def is_reusable(self) -> bool:
        """Tell whether an idle connection can be used; what was sent meanwhile, such as a goodbye, is read."""
        if self._readable.poll(0):
            # The turn after the next one has surely read it.
            await asyncio.sleep(0)
            await asyncio.sleep(0)
        if self.is_doubtful and not self.is_closing:
            try:
                await self.send([("PING",)], self._loop.time() + _LOOK)
            except LostError:
                self.close()
        return not self.is_closing

    def close(self) -> None:
        """Close the connection; who still waits for an answer gets an error."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        self._connected.close()
        self._transport.abort()
        self._fail(ConnectionLostError("the connection was closed"))

    def abandon(self) -> None:
        """Have the server see the end of a connection whose event loop does not run any more, from any thread."""
        with suppress(OSError, ValueError):  # it is closed already
            _shut_down(self._transport.get_extra_info("socket").fileno())
        with suppress(RuntimeError):
            self._transport.abort()  # marks it as closing; more an ended loop cannot do
        with suppress(RuntimeError):
            self._connected.close()

    # --- what the transport calls ----------------------------------------------------------------------

    def data_received(self, data: bytes) -> None:
        """Hand out the answers that are complete."""
        self.is_doubtful = False
        gets = self._reader.gets
        try:
            self._reader.feed(data)
            while (answer := gets()) is not _NOTHING:
                self._take(answer)
        except (InvalidResponse, IndexError) as error:
            self._break(ConnectionLostError(f"this is not how Redis answers: {error}"))
        except BaseException:  # an interrupt: nobody knows any more whose answers come next
            self._break(ConnectionLostError("interrupted while an answer was read"))
            raise

    def connection_lost(self, exc: Exception | None) -> None:
        """Tell who waits for an answer."""
        self._connected.tell_lost(exc)
        self._fail(exc or ConnectionLostError("the server closed the connection"))

    def pause_writing(self) -> None:
        """What was written waits in memory; the callers wait for their answers anyway."""

    def resume_writing(self) -> None:
        """See `pause_writing`."""

    # --- inside ----------------------------------------------------------------------------------------

    def _take(self, answer: Any) -> None:
        if type(answer) is hiredis.PushNotification and answer[0] != b"subscribe":  # that is an answer
            if self._on_push is not None:
                self._on_push(answer)
            return
        exchange = self._exchanges[0]  # an IndexError for an answer that nobody asked for
        exchange.answers.append(answer)
        if len(exchange.answers) == exchange.count:
            if not exchange.future.done():
                _settle(exchange.future, exchange.answers)
            self._exchanges.popleft()  # only now: whom an interrupt leaves here is told by `_break`

    def _check_time(self) -> None:
        try:
            self._look_at_the_clock()
        except BaseException:  # an interrupt: there may be no timer any more
            self._break(TimeoutError("no answer in time"))
            raise

    def _look_at_the_clock(self) -> None:
        """Give up when an exchange is late. One timer serves all, and runs on when there is no exchange.

        One whose caller has gone takes no time from another that waits: once, it gets that one's deadline.
        """
        self._timer = None
        now = self._loop.time()
        for exchange in self._exchanges:
            if exchange.deadline <= now < exchange.kept_until:
                exchange.deadline = exchange.kept_until
                self.is_doubtful = True
                if not exchange.future.done():
                    exchange.future.set_exception(_lost(TimeoutError("no answer in time")))
        awaited = [exchange.deadline for exchange in self._exchanges if not exchange.future.done()]
        for exchange in self._exchanges:
            if exchange.deadline <= now:
                if not awaited or not exchange.future.done() or exchange.is_spared:
                    self._break(TimeoutError("no answer in time"))
                    return
                exchange.deadline, exchange.is_spared = min(awaited), True
        if self._exchanges:
            deadline = min(exchange.deadline for exchange in self._exchanges)
            self._timer = self._loop.call_at(deadline, self._check_time)

    def _break(self, error: Exception) -> None:
        self._fail(error)
        self.close()

    def _fail(self, error: Exception) -> None:
        while self._exchanges:  # one by one: whom an interrupt leaves here is told by the next call
            if not (future := self._exchanges[0].future).done():
                future.set_exception(_lost(error))
            self._exchanges.popleft()


def _shut_down(descriptor: int) -> None:
    """End a connection without closing the descriptor, which belongs to the event loop."""
    with socket.socket(fileno=os.dup(descriptor)) as own:
        own.shutdown(socket.SHUT_RDWR)


def _settle(future: asyncio.Future[list[Any]], answers: list[Any]) -> None:
    """Hand the answers out; what redis-py takes for a broken connection is looked at."""
    for answer in answers:
        if isinstance(answer, RedisError) and not isinstance(answer, ResponseError):
            break
    else:
        future.set_result(answers)  # nearly always
        return
    try:
        future.set_result(_judged(answers))
    except (NotSentError, LostError) as error:
        future.set_exception(error)


def _lost(error: Exception) -> LostError:
    lost = LostError(reason_in(error))
    lost.__cause__ = error
    return lost


def _judged(answers: list[Any]) -> list[Any]:
    """Return the answers, with `NotSentError` for each command that the server did not look at.

    Each is judged by itself: loading may end in the middle of a pipeline, and what comes after is executed.
    """
    judged = [_not_executed(one) if isinstance(one, _REFUSALS) else one for one in answers]
    for answer in judged:
        if isinstance(answer, RedisError) and not isinstance(answer, ResponseError):
            raise _lost(answer)
    if all(isinstance(answer, NotSentError) for answer in judged):
        raise judged[0]
    return judged


def _not_executed(refusal: RedisError) -> NotSentError:
    error = NotSentError(str(refusal))
    error.__cause__ = refusal
    return error


def reason_in(error: BaseException) -> str:
    """Return what an error says, or what it is."""
    return str(error) or ("no answer in time" if isinstance(error, TimeoutError) else type(error).__name__)
