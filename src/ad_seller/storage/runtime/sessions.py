"""The sessions of one backend, one for each event loop that uses it."""

from __future__ import annotations

import asyncio
import logging
import time
import weakref
from asyncio import get_running_loop
from collections.abc import Awaitable, Callable
from concurrent.futures import Future
from contextlib import suppress
from functools import partial

from ..concurrency.forks import fork_safe_lock, keep_for_parent, tell_of_forks
from ..concurrency.gates import Gate
from ..concurrency.loops import ByLoop, answers
from ..concurrency.tasks import all_of, run_to_end
from ..errors import NotConnectedError, StorageConnectionError, StorageTimeoutError
from ..stats import BatchStats, Stats
from .session import Session

log = logging.getLogger("ad_seller.storage")

_GRACE = 1.0  #: seconds beyond the time-out of calls that a close waits for another event loop
_LOOK = 0.05  #: seconds between two looks whether another event loop still runs
_RETRY = 0.25  #: seconds between two tries to reach a server that is not there yet


_NOTHING = Stats(loops=0, reads=BatchStats(), writes=BatchStats(), listings=0, expired=0)
_all: weakref.WeakSet[Sessions] = weakref.WeakSet()


def connected_backends() -> list[str]:
    """Return what the backends of this process that are connected are called, for tests that look for leaks."""
    return sorted(sessions.name for sessions in list(_all) if sessions.is_connected)


#: Is called with a session that is open and that nobody else knows yet.
Greet = Callable[[Session], Awaitable[None]]


class Closing(Future[None]):
    """The end of a disconnect in the running event loop, which others wait for.

    Args:
        sessions: what it closes.
    """

    def __init__(self, sessions: list[Session]) -> None:
        """Be under way."""
        super().__init__()
        self.sessions = sessions
        self.loop = get_running_loop()


class Sessions:
    """Opens, finds and closes sessions; usable from any thread and any event loop.

    Args:
        name: what the backend is called in log lines.
        make: makes a session for the running loop, not open yet.
        timeout: seconds that any call waits for an answer.
        connect_wait: seconds that `connect` waits for a server that is not there yet.
    """

    def __init__(self, name: str, make: Callable[[], Session], *, timeout: float, connect_wait: float) -> None:
        """Be closed."""
        self.name = name
        self._make = make
        self._timeout = timeout
        self._connect_wait = connect_wait
        self._start_over()
        tell_of_forks(self)
        _all.add(self)

    @property
    def is_connected(self) -> bool:
        """Whether the backend was connected and not disconnected since."""
        return self._connected

    def _start_over(self) -> None:
        self._by_loop: ByLoop[Session] = ByLoop()
        self._gates: ByLoop[Gate] = ByLoop()
        self._lock = fork_safe_lock()
        self._latest: Session | None = None
        self._connected = False
        self._round = 0
        self._closing: Closing | None = None
        self._past: Stats | None = None  # what was counted in event loops that have ended

    def here(self) -> Session | None:
        """Return the session of this event loop, or None if it has none yet.

        Raises:
            NotConnectedError: the backend is not connected.
        """
        session = self._latest
        if session is not None and session.is_open and session.loop is get_running_loop():
            return session
        if not self._connected:
            raise NotConnectedError("Storage not connected. Call connect() first.")
        session = self._by_loop.get()
        if session is not None:
            if not session.is_open:
                raise NotConnectedError("Storage not connected. Call connect() first.")
            self._latest = session
        return session

    @property
    def stats(self) -> Stats:
        """What was counted in all event loops, those that have ended included; from any thread."""
        past = self._past
        begin = _NOTHING if past is None else _NOTHING + past
        return sum((session.stats for session in self._by_loop.all() if session.is_open), begin)

    def _keep(self, counted: Stats) -> None:
        with self._lock:
            self._past = counted if self._past is None else self._past + counted

    def of(self, loop: asyncio.AbstractEventLoop) -> Session | None:
        """Return the session of ``loop`` if it is open; from any thread."""
        session = self._by_loop.of(loop) if self._connected else None
        return session if session is not None and session.is_open else None

    async def join(self) -> Session:
        """Open the session of this event loop, unless somebody was faster.

        Raises:
            NotConnectedError: the backend was disconnected meanwhile.
            StorageError: it cannot be opened.
        """
        return await self._gate().opening(self._join)

    async def _join(self) -> Session:
        return self.here() or await self._open(self._round)

    async def connect(self, greet: Greet) -> None:
        """Open the session of this event loop, so that any other may open its own; the first is greeted."""
        await self._gate().opening(partial(self._connect, greet))

    async def _connect(self, greet: Greet) -> None:
        await self._closed_elsewhere()
        session = self._by_loop.get()
        if session is None or not session.is_open:
            await self._open_patiently(None if self._connected else greet)

    async def disconnect(self, finish: Callable[[], Awaitable[None]]) -> None:
        """Close the sessions of all event loops after what is under way, then do what ``finish`` does."""
        async with self._gate():
            with self._lock:
                was_connected, self._connected, self._latest = self._connected, False, None
                sessions = self._by_loop.take_all()
                self._round += 1
                closing, mine = self._closing, Closing(sessions)
                if was_connected or sessions:
                    self._closing = mine
            if not (was_connected or sessions):
                await self._waited_for(closing)
                return
            for session in sessions:
                session.left_by(asyncio.current_task())
            try:
                await run_to_end(self._close_all(sessions, finish))
            finally:
                mine.set_result(None)

    def forked(self) -> None:
        """Leave the parent's sessions behind in a child; the backend stays connected, each loop opens anew."""
        keep_for_parent((self._by_loop, self._gates, self._latest))
        connected = self._connected
        self._start_over()
        self._connected = connected

    def _gate(self) -> Gate:
        """The lock of this event loop under which sessions are opened and closed."""
        return self._gates.get_or_make(Gate)

    # --- opening ---------------------------------------------------------------------------------------

    async def _open_patiently(self, greet: Greet | None) -> None:
        give_up = time.monotonic() + self._connect_wait
        told = False
        while True:
            try:
                await self._open(None, greet)
            except (StorageConnectionError, StorageTimeoutError) as error:
                if time.monotonic() + _RETRY > give_up:
                    raise
                if not told:
                    log.warning("Waiting up to %g s for the store: %s", self._connect_wait, error)
                told = True
                await asyncio.sleep(_RETRY)
            else:
                return

    async def _open(self, round_: int | None, greet: Greet | None = None) -> Session:
        """Open a session; if ``round_`` is given, only while the backend stays connected as it was then."""
        for ended in self._by_loop.take_ended():
            ended.abandon()
        session = self._make()
        await session.open()
        session.ended = self._keep
        try:
            if greet is not None:
                await greet(session)
        except BaseException:  # nobody knows of it yet, so nobody else would close it
            await run_to_end(session.close())
            raise
        with self._lock:
            wanted = round_ is None or (self._connected and self._round == round_)
            if wanted:
                self._by_loop.put(session)
                self._connected = True
        if not wanted:
            await run_to_end(session.close())
            raise NotConnectedError("Storage not connected: it was disconnected while this event loop connected.")
        await session.close_with_loop(self._forget)
        return session

    def _forget(self, session: Session) -> None:
        """Take note that the event loop of a session is being shut down."""
        self._by_loop.take(session.loop)
        if self._latest is session:
            self._latest = None

    # --- closing ---------------------------------------------------------------------------------------

    async def _close_all(self, sessions: list[Session], finish: Callable[[], Awaitable[None]]) -> None:
        try:
            await all_of(map(self._close, sessions))
        finally:
            await finish()

    async def _close(self, session: Session) -> None:
        """Close a session where it lives: here, in a loop that runs elsewhere, or without its loop.

        One that waits for this very call closes it when it goes on.
        """
        if session.loop is asyncio.get_running_loop():
            await session.close()
        elif answers(session.loop):
            await self._close_elsewhere(session)
        elif session.loop.is_running():
            asyncio.run_coroutine_threadsafe(session.close(), session.loop)
        else:
            session.abandon()

    async def _close_elsewhere(self, session: Session) -> None:
        """Ask a running loop to close its session; if it ends instead, or does not answer, do without it."""
        closing = session.close()
        try:
            asked = asyncio.run_coroutine_threadsafe(closing, session.loop)
        except RuntimeError:  # it was closed at this moment
            closing.close()
            session.abandon()
            return
        give_up = time.monotonic() + self._timeout + _GRACE
        while not asked.done() and session.loop.is_running() and time.monotonic() < give_up:
            await asyncio.wait([asyncio.wrap_future(asked)], timeout=_LOOK)
        if not asked.done() or asked.cancelled():
            asked.cancel()
            session.abandon()
            return
        with suppress(asyncio.CancelledError):
            asked.result()

    async def _closed_elsewhere(self) -> None:
        """Wait until a disconnect that began in another loop has ended."""
        await self._waited_for(self._closing)

    async def _waited_for(self, closing: Closing | None) -> None:
        give_up = time.monotonic() + 2 * (self._timeout + _GRACE)
        while closing is not None and not closing.done() and time.monotonic() < give_up:
            if not answers(closing.loop):  # perhaps it never runs again: what it has left open is closed without it
                for session in closing.sessions:
                    if not session.loop.is_running():
                        session.abandon()
                return
            await asyncio.wait([asyncio.wrap_future(closing)], timeout=_LOOK)
