"""The life of our backends: settings, an engine for each event loop, copies, health."""

from __future__ import annotations

import asyncio
import logging
from abc import abstractmethod
from collections.abc import Iterable
from dataclasses import replace
from types import TracebackType
from typing import TYPE_CHECKING, Any

from ..base import StorageBackend
from ..concurrency.wakeups import wake_all
from ..driver.engine import Engine
from ..errors import InvalidArgumentError, StorageError, shown
from ..records.codec import DEFAULT_MAX_VALUE_BYTES
from ..records.expiry import Clock, system_clock
from ..records.indexes import DEFAULT_INDEXES, Index, declared
from ..seller.streams import CLOCK_SECONDS
from ..stats import Stats
from .session import Session
from .sessions import Sessions
from .sweeper import sweep_all

if TYPE_CHECKING:
    from ..health import Health

log = logging.getLogger("ad_seller.storage")


class Guard:
    """Makes closing wait for a call beside the batches, and its errors ours.

    Args:
        session: of the running event loop; it was asked for in the same turn of the loop.
        verb: what the call does, e.g. "list".
        subject: with what.
        writes: whether it changes something.
    """

    __slots__ = ("_session", "_subject", "_verb", "_writes")

    def __init__(self, session: Session, verb: str, subject: str, writes: bool) -> None:
        """Do nothing yet."""
        self._session = session
        self._verb = verb
        self._subject = subject
        self._writes = writes

    def __enter__(self) -> Session:
        """Have closing wait."""
        self._session.active[self] = asyncio.current_task()
        return self._session

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Let closing go on."""
        session = self._session
        session.active.pop(self, None)
        session.idle.set()
        if isinstance(error, Exception):
            raise session.errors.map(self._verb, self._subject, error, writes=self._writes) from error


class ConnectedBackend(StorageBackend):
    """A backend that opens an engine for each event loop, and closes them.

    Args:
        timeout: seconds that any call waits for an answer.
        clock: seconds since the epoch, where no server's clock decides.
        max_value_bytes: the largest value, as JSON text.
        sweep_interval: seconds between two looks for expired entries to reclaim; None for none.
        connect_wait: seconds that `connect` waits for a server that is not there yet.
        indexes: the fields by which `find` is to cost what it finds, as `Index` or such as ``event.session_id``;
            None for `DEFAULT_INDEXES`. SQLite and PostgreSQL have indexes of fields.
        log_commit_seconds: how long an append to a log may take at most; None for ``timeout``.
        log_clock_seconds: how much the clocks of the machines may differ that append to a log.
    """

    def __init__(
        self,
        *,
        timeout: float = 5.0,
        clock: Clock = system_clock,
        max_value_bytes: int = DEFAULT_MAX_VALUE_BYTES,
        sweep_interval: float | None = 30.0,
        connect_wait: float = 0.0,
        indexes: Iterable[Index | str] | None = None,
        log_commit_seconds: float | None = None,
        log_clock_seconds: float = CLOCK_SECONDS,
    ) -> None:
        """Keep the settings; nothing is opened yet."""
        commit_seconds = timeout if log_commit_seconds is None else log_commit_seconds
        for name, number in (
            ("timeout", timeout),
            ("max_value_bytes", max_value_bytes),
            ("log_commit_seconds", commit_seconds),
            ("log_clock_seconds", log_clock_seconds),
        ):
            _check_positive(name, number)
        if sweep_interval is not None:
            _check_positive("sweep_interval", sweep_interval)
        if connect_wait != 0:
            _check_positive("connect_wait", connect_wait)
        self.timeout = timeout
        self._clock = clock
        self._max_value_bytes = max_value_bytes
        self._sweep_interval = sweep_interval
        self._connect_wait = connect_wait
        self._log_times = commit_seconds, log_clock_seconds
        self._indexes = None if indexes is None else declared(indexes)
        self._start_over()

    def _start_over(self) -> None:
        """Have what a backend has that was never connected."""
        self._sessions = Sessions(
            type(self).__name__, self._make_session, timeout=self.timeout, connect_wait=self._connect_wait
        )

    def _make_session(self) -> Session:
        return Session(self._make_engine(), timeout=self.timeout, sweep_interval=self._sweep_interval)

    @abstractmethod
    def _make_engine(self) -> Engine:
        """Return a new engine for the running event loop, not open yet."""

    async def _close_shared(self) -> None:
        """Close what the engines of all event loops shared; none of them is open any more."""

    # --- copies ----------------------------------------------------------------------------------------

    #: Names of attributes that hold what is open, besides the sessions; `_start_over` makes them anew.
    _open_state: tuple[str, ...] = ()

    def __getstate__(self) -> dict[str, Any]:
        """Return the settings: a copy, and what is unpickled, is not connected."""
        kept = {"_sessions", "_ad_seller_process_state", *self._open_state}
        return {name: value for name, value in self.__dict__.items() if name not in kept}

    def __setstate__(self, state: dict[str, Any]) -> None:
        """Take the settings."""
        self.__dict__.update(state)
        self._start_over()

    # --- life cycle ------------------------------------------------------------------------------------

    async def connect(self) -> None:
        """See `StorageBackend.connect`."""
        await self._sessions.connect(self._greet)

    async def _greet(self, session: Session) -> None:
        """Say which store was opened, and what speaks against relying on it."""
        try:
            doubts = await session.engine.doubts()
        except Exception as error:
            raise session.errors.map("ask", "the server", error) from error
        log.info("Connected: %r, %s", self, self.capabilities.in_words)
        for doubt in doubts:
            log.warning("%r: %s", self, doubt)

    async def health(self) -> Health:
        """See `StorageBackend.health`."""
        told = await super().health()
        try:
            return replace(told, doubts=tuple(await self._doubts())) if told.is_reachable else told
        except StorageError as error:
            return replace(told, error=error)

    def stats(self) -> Stats:
        """See `StorageBackend.stats`."""
        return super().stats() + self._sessions.stats

    async def facts(self) -> dict[str, Any]:
        """Return what the store says about itself: versions, settings, sizes, its clock; `doctor` judges it."""
        with self._guarded(await self._here(), "ask", "the server") as session:
            found = await session.engine.facts()
        indexes = DEFAULT_INDEXES if self._indexes is None else self._indexes
        return {**found, "indexes": [str(index) for index in indexes]} if found else found

    async def _doubts(self) -> list[str]:
        with self._guarded(await self._here(), "ask", "the server") as session:
            return await session.engine.doubts()

    async def disconnect(self) -> None:
        """See `StorageBackend.disconnect`."""
        await self._sessions.disconnect(self._close_shared)
        wake_all()  # who follows a log here learns of it

    def _is_connected(self) -> bool:
        return self._sessions.is_connected

    async def _here(self) -> Session:
        return self._sessions.here() or await self._sessions.join()

    # --- calls beside the batches ----------------------------------------------------------------------

    def _guarded(self, session: Session, verb: str, subject: str, *, writes: bool = False) -> Guard:
        """Return a block for a call beside the batches: it is waited for, and its errors become ours."""
        return Guard(session, verb, subject, writes)

    def _log_seconds(self) -> tuple[float, float]:
        return self._log_times

    async def _hears(self, prefix: str) -> bool:
        with self._guarded(await self._here(), "ask", "the server") as session:
            return await session.engine.hears(prefix)

    async def _sweep_all(self) -> int:
        """Remove all expired entries in small steps; return how many there were."""
        with self._guarded(await self._here(), "sweep", "expired entries") as session:
            return await sweep_all(session.engine)


def _check_positive(name: str, number: object) -> None:
    if not isinstance(number, int | float) or isinstance(number, bool) or not 0 < number < float("inf"):
        raise InvalidArgumentError(f"{name} is a positive number, not {shown(number)}")
