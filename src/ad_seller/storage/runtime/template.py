"""The template that our backends share.

A driver moves encoded records in bulk; this class does everything else once: checks, encoding, batching, error
mapping, life cycle, sweeping. A driver fills the hooks at the end of the class and overrides no public method.
"""

from __future__ import annotations

import asyncio
import copy
import logging
import os
from abc import abstractmethod
from collections.abc import AsyncIterator, Callable, Iterable, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import Any, ClassVar

from ..base import StorageBackend, check_keys, check_limit, copied
from ..concurrency.tasks import run_to_end
from ..concurrency.timeslice import TimeSlice
from ..driver.commit import Commit, Delete, Outcome, Put, Refused, Write
from ..driver.engine import LATER, MISSING, NO_EXPIRY, Later
from ..driver.failures import NotStartedError
from ..driver.query import KeyQuery
from ..errors import (
    InvalidArgumentError,
    MissingKeyError,
    NotConnectedError,
    StorageError,
    StorageTimeoutError,
    UnknownOutcomeError,
    shown,
)
from ..records.codec import DEFAULT_MAX_VALUE_BYTES, decode, encode
from ..records.expiry import TTL, Clock, check_ttl, system_clock
from ..records.filters import Condition
from ..records.globs import compile_glob, escape
from ..records.keys import check_key, decode_cursor, encode_cursor
from ..records.pages import OnCorrupt, Page
from .batcher import Request
from .listing import decode_all
from .session import Session

log = logging.getLogger("ad_seller.storage")

SWEEP_ROWS = 500  #: expired entries that one step of the sweeper removes
SWEEP_PAUSE = 0.05  #: seconds between two steps


class DriverBackend(StorageBackend):
    """A backend whose driver fills a few bulk hooks.

    Args:
        timeout: seconds that any call waits for an answer.
        clock: seconds since the epoch, where no server's clock decides.
        max_value_bytes: the largest value, as JSON text.
        sweep_interval: seconds between two looks for expired entries to reclaim; None for none.
    """

    #: The lane of a key, where calls for one server must not hold up those for others; None: there is one lane.
    _lane_of: Callable[[str], int] | None = None

    #: How many bulk reads run at the same time.
    _readers: ClassVar[int] = 1

    #: Keys of one bulk read, unless one caller asks for more.
    _read_batch: ClassVar[int] = 512

    def __init__(
        self,
        *,
        timeout: float = 5.0,
        clock: Clock = system_clock,
        max_value_bytes: int = DEFAULT_MAX_VALUE_BYTES,
        sweep_interval: float | None = 30.0,
    ) -> None:
        """Keep the settings; nothing is opened yet."""
        for name, number in (("timeout", timeout), ("max_value_bytes", max_value_bytes)):
            _check_positive(name, number)
        if sweep_interval is not None:
            _check_positive("sweep_interval", sweep_interval)
        self.timeout = timeout
        self._clock = clock
        self._max_value_bytes = max_value_bytes
        self._sweep_interval = sweep_interval
        self._session: Session | None = None
        self._gate: tuple[asyncio.AbstractEventLoop, asyncio.Lock] | None = None

    # --- life cycle ------------------------------------------------------------------------------------

    async def connect(self) -> None:
        async with self._turn():
            session = self._session
            if session is not None and not self._is_foreign(session):
                return
            if session is not None:
                self._leave_behind(session)
            try:
                await self._open()
            except Exception as error:
                raise self._explain("open", None, error) from error
            self._session = session = Session(self)
            if self._sweep_interval is not None and self._sweeps:
                session.sweeper = asyncio.create_task(self._sweep_on(self._sweep_interval))

    async def disconnect(self) -> None:
        async with self._turn():
            session = self._session
            if session is None:
                return
            if self._is_foreign(session):
                self._leave_behind(session)
                return
            self._session = None
            await run_to_end(self._close_session(session))

    async def _close_session(self, session: Session) -> None:
        await session.drain()
        try:
            await self._close()
        except Exception as error:
            raise self._explain("close", None, error) from error

    def _turn(self) -> asyncio.Lock:
        """The lock of connect and disconnect; of this event loop, because another one's cannot be awaited."""
        loop = asyncio.get_running_loop()
        if self._gate is None or self._gate[0] is not loop:
            self._gate = (loop, asyncio.Lock())
        return self._gate[1]

    def _is_foreign(self, session: Session) -> bool:
        return session.pid != os.getpid() or session.loop is not asyncio.get_running_loop()

    def _leave_behind(self, session: Session) -> None:
        """Drop what belongs to the parent process or to an event loop that has ended."""
        if session.pid == os.getpid() and not session.loop.is_closed():
            raise NotConnectedError(
                "This storage is connected in another event loop that is still open. "
                "Call disconnect() there first, or use one backend for each event loop."
            )
        self._session = None
        self._abandon()

    def _here(self) -> Session:
        """Return the open session, or raise the error that says why there is none."""
        session = self._session
        if session is None:
            raise NotConnectedError("Storage not connected. Call connect() first.")
        if session.loop is not asyncio.get_running_loop() or session.pid != os.getpid():
            where = "in the parent process" if session.pid != os.getpid() else "in another event loop"
            raise NotConnectedError(f"Storage not connected here but {where}. Call connect() first.")
        return session

    # --- the seven, and the bulk forms -----------------------------------------------------------------

    async def get(self, key: str) -> Any | None:
        key = check_key(key)
        session = self._here()
        text = self._read_now(key) if session.quiet else LATER
        if text is LATER:
            [text] = await self._read_in_bulk(session, [key])
        return None if text is None else decode(text, key=key)

    async def set(self, key: str, value: Any, ttl: TTL | None = None) -> None:
        key = check_key(key)
        put = Put(key, self._atomic_encode(value, key), check_ttl(ttl, key=key))
        await self._atomic_commit(Commit((), (put,)))

    async def delete(self, key: str) -> bool:
        outcome = await self._atomic_commit(Commit((), (Delete(check_key(key)),)))
        return not isinstance(outcome, Refused) and outcome[0]

    async def exists(self, key: str) -> bool:
        return await self._left(check_key(key)) != MISSING

    async def keys(self, pattern: str = "*") -> list[str]:
        glob = compile_glob(pattern)
        async with self._listing(pattern):
            return await self._keys(KeyQuery(glob))

    async def count(self, pattern: str = "*") -> int:
        glob = compile_glob(pattern)
        async with self._listing(pattern):
            return await self._count(KeyQuery(glob))

    async def get_many(self, keys: Iterable[str], *, on_corrupt: OnCorrupt = None) -> dict[str, Any]:
        wanted = check_keys(keys)
        self._here()
        texts = await self._atomic_snapshot(wanted) if wanted else []
        found = [(key, text) for key, text in zip(wanted, texts, strict=True) if text is not None]
        return dict(await decode_all(found, on_corrupt))

    async def set_many(self, mapping: Mapping[str, Any], ttl: TTL | None = None) -> None:
        ttl_ms = check_ttl(ttl)
        pace = TimeSlice()
        puts: list[Put] = []
        for key, value in copied(mapping).items():
            key = check_key(key)
            puts.append(Put(key, self._atomic_encode(value, key), ttl_ms))
            await pace.checkpoint()
        await self._commit_batch(puts)

    async def delete_many(self, keys: Iterable[str]) -> int:
        return sum(await self._commit_batch([Delete(key) for key in check_keys(keys)]))

    async def _commit_batch(self, writes: Sequence[Write]) -> list[bool]:
        """Apply the writes as one commit, or as one each where the engine cannot keep them together."""
        commits = [Commit((), (write,)) for write in writes]
        if self.capabilities.atomic_batches:
            commits = [Commit((), tuple(writes))] if writes else []
        results: list[bool] = []
        for outcome in await self._here().commits.submit(commits):
            if isinstance(outcome, Exception):
                raise self._explain("write", writes[0].key, outcome) from outcome
            results += [] if isinstance(outcome, Refused) else outcome
        return results

    async def scan(
        self,
        pattern: str = "*",
        *,
        limit: int | None = None,
        cursor: str | None = None,
        on_corrupt: OnCorrupt = None,
    ) -> Page:
        glob = compile_glob(pattern)
        check_limit(limit)
        after = None if cursor is None else decode_cursor(cursor)
        async with self._listing(pattern):
            rows = await self._entries(KeyQuery(glob, after, None if limit is None else limit + 1))
        more = limit is not None and len(rows) > limit
        rows = rows[:limit]
        items = await decode_all(rows, on_corrupt)
        return Page(items, encode_cursor(rows[-1][0]) if more else None)

    async def _entity_scan(
        self, prefix: str, where: tuple[Condition, ...], on_corrupt: OnCorrupt
    ) -> list[tuple[str, Any]]:
        pattern = f"{escape(prefix)}*"
        async with self._listing(pattern):
            rows = await self._entries(KeyQuery(compile_glob(pattern), where=where))
        return await decode_all(rows, on_corrupt)

    async def ttl(self, key: str) -> float | None:
        left = await self._left(check_key(key))
        if left == MISSING:
            raise MissingKeyError(f"There is no entry under {key!r}", key=key)
        return None if left == NO_EXPIRY else left / 1000

    async def _left(self, key: str) -> int:
        [left] = await self._here().expiries.submit([key])
        if isinstance(left, Exception):
            raise self._explain("read", key, left) from left
        return left

    async def _atomic_snapshot(self, keys: Sequence[str]) -> list[bytes | None]:
        session = self._here()
        if len(keys) == 1 and session.quiet:
            now = self._read_now(keys[0])
            if now is not LATER:
                return [now]
        return await self._read_in_bulk(session, keys)

    async def _read_in_bulk(self, session: Session, keys: Sequence[str]) -> list[bytes | None]:
        texts: list[bytes | None] = []
        for key, text in zip(keys, await session.reads.submit(keys), strict=True):
            if isinstance(text, Exception):
                raise self._explain("read", key, text) from text
            texts.append(text)
        return texts

    async def _atomic_commit(self, commit: Commit) -> Outcome:
        [outcome] = await self._here().commits.submit([commit])
        if isinstance(outcome, Exception):
            raise self._explain("write", commit.first_key, outcome) from outcome
        return outcome

    def _atomic_check(self) -> None:
        self._here()

    def _atomic_encode(self, value: Any, key: str) -> bytes:
        return encode(value, key=key, max_bytes=self._max_value_bytes)

    # --- shared machinery ------------------------------------------------------------------------------

    @asynccontextmanager
    async def _listing(self, pattern: str) -> AsyncIterator[None]:
        """Count the call as under way and turn what the driver raises into our errors."""
        async with self._here().busy():
            try:
                yield
            except Exception as error:
                raise self._explain("list", pattern, error) from error

    def _explain_read(self, error: BaseException, request: Request[str, Any]) -> BaseException:
        return _caused(self._explain("read", request.items[0], error), error)

    def _explain_write(self, error: BaseException, request: Request[Commit, Any]) -> BaseException:
        commit = request.items[0]
        if isinstance(error, TimeoutError) and request.sent:
            return _caused(_unknown_outcome(commit.first_key, error), error)
        return _caused(self._explain("write", commit.first_key, error), error)

    def _explain(self, verb: str, key: str | None, error: BaseException) -> StorageError:
        """Return an error of ours that says what failed; always a new one, because several calls may share it."""
        if isinstance(error, StorageError):
            fresh = copy.copy(error)
            fresh.key = key if error.key is None else error.key
            return fresh
        what = f"Cannot {verb} {key!r}" if key is not None else f"Cannot {verb} the store"
        if isinstance(error, NotStartedError):
            return StorageTimeoutError(f"{what}: {error}. Nothing was written.", key=key)
        if isinstance(error, TimeoutError):
            return StorageTimeoutError(
                f"{what}: no answer within {self.timeout:g} s. Is the server overloaded or frozen?", key=key
            )
        return self._translate(what, key, error)

    async def _sweep_on(self, interval: float) -> None:
        while True:
            await asyncio.sleep(interval)
            try:
                await self._sweep_all()
            except Exception as error:
                log.warning("Expired entries could not be reclaimed, will try again: %s", error)

    async def _sweep_all(self) -> int:
        """Remove all expired entries in small steps, with a pause after each; return how many there were."""
        total = removed = await self._sweep(SWEEP_ROWS)
        while removed >= SWEEP_ROWS:
            await asyncio.sleep(SWEEP_PAUSE)
            removed = await self._sweep(SWEEP_ROWS)
            total += removed
        return total

    # --- the hooks of a driver -------------------------------------------------------------------------

    #: Whether expired entries stay until `_sweep` removes them.
    _sweeps: ClassVar[bool] = False

    @property
    def _reserve(self) -> float:
        """How many seconds before its time is up a call is given up; what the driver needs to tell the outcome."""
        return 0.0

    @abstractmethod
    async def _open(self) -> None:
        """Open the engine. If it fails or is cancelled, nothing stays open."""

    @abstractmethod
    async def _close(self) -> None:
        """Close the engine; no other hook is running."""

    @abstractmethod
    def _abandon(self) -> None:
        """Forget everything without touching it: it belongs to a parent process or an event loop that ended."""

    @abstractmethod
    async def _read(self, keys: list[str]) -> Sequence[bytes | Exception | None]:
        """Return the live texts under ``keys``, None where there is none, an exception for what failed alone."""

    def _read_now(self, key: str) -> bytes | Later | None:
        """Return the live text at once, without awaiting, or `LATER` to have it read in bulk."""
        return LATER

    @abstractmethod
    async def _remaining(self, keys: list[str]) -> Sequence[int | Exception]:
        """Return the milliseconds that each entry has left, or `NO_EXPIRY`, or `MISSING`, or what failed alone."""

    @abstractmethod
    async def _apply(self, commits: list[Commit]) -> Sequence[Outcome | Exception]:
        """Apply each commit all or nothing, in order, each judged by itself."""

    @abstractmethod
    async def _keys(self, span: KeyQuery) -> list[str]:
        """Return the live keys of ``span``, sorted."""

    @abstractmethod
    async def _entries(self, span: KeyQuery) -> list[tuple[str, bytes]]:
        """Return the live keys of ``span``, sorted, with their texts."""

    async def _count(self, span: KeyQuery) -> int:
        """Return how many live keys ``span`` has."""
        return len(await self._keys(span))

    async def _sweep(self, rows: int) -> int:
        """Remove at most ``rows`` expired entries and return how many there were."""
        return 0

    @abstractmethod
    def _translate(self, what: str, key: str | None, error: BaseException) -> StorageError:
        """Return our error for an exception of the engine's library; ``what`` starts the message."""


def _check_positive(name: str, number: object) -> None:
    if not isinstance(number, int | float) or isinstance(number, bool) or not 0 < number < float("inf"):
        raise InvalidArgumentError(f"{name} is a positive number, not {shown(number)}")


def _unknown_outcome(key: str | None, error: BaseException) -> UnknownOutcomeError:
    return UnknownOutcomeError(
        f"The write of {key!r} was sent but not confirmed ({error}). It may or may not have been applied: "
        "read the key before writing again.",
        key=key,
    )


def _caused(error: StorageError, cause: BaseException) -> StorageError:
    error.__cause__ = cause
    return error
