"""The interface: seven abstract operations, and everything that follows from them.

This page is the contract for authors and callers of backends; the conformance kit
(`ad_seller.storage.testing`) checks it. A subclass that implements the seven abstract methods is a complete
backend. The other methods work on it as they stand, one call per entry and atomic within one process. The
backends of this package answer them in bulk and atomically in the store, through `DriverBackend`.
"""

from __future__ import annotations

import time
from abc import ABC, abstractmethod
from asyncio import AbstractEventLoop
from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

from .atomic import fallback as process
from .atomic import searching
from .atomic.once import OnceOperations
from .atomic.operations import touch
from .atomic.state import counted, opening_of
from .atomic.transfer import BulkTransfer
from .capabilities import Capabilities, Health
from .driver.commit import Commit, Outcome
from .driver.query import KeyQuery
from .errors import CorruptValueError, InvalidArgumentError, NotConnectedError, StorageError
from .records.codec import encode
from .records.expiry import TTL, check_ttl
from .records.keys import check_key, check_keys, copied, decode_cursor, encode_cursor
from .records.namespaces import local_key
from .records.pages import OnCorrupt, Page, check_limit, report_corrupt
from .seller.entities import EntityHelpers
from .seller.indexes import IndexHelpers
from .seller.kinds import LASTING
from .seller.lifecycle import LifecycleHelpers
from .seller.streams import CLOCK_SECONDS, COMMIT_SECONDS, Streams
from .seller.together import JointWrites
from .stats import Stats, Target

if TYPE_CHECKING:
    from .seller.transaction import Transaction

_PROBE = "health:probe"  #: a key that is asked for, never written


class StorageBackend(
    OnceOperations["Transaction"],
    BulkTransfer,
    JointWrites,
    EntityHelpers,
    IndexHelpers,
    LifecycleHelpers,
    Streams,
    ABC,
):
    """An asynchronous key-value store for the state of a seller agent.

    Keys are str of at most 2,048 bytes, values are JSON. Every method may raise `NotConnectedError`,
    `StorageConnectionError` or `StorageTimeoutError`, and the checks of its arguments `InvalidArgumentError`
    and its subclasses, before any I/O; the docstrings name what else can happen.
    """

    def __init_subclass__(cls, **kwargs: Any) -> None:
        """Give a backend without a commit of its own the in-process guarantees of `process`."""
        super().__init_subclass__(**kwargs)
        process.keep_to_one_loop(cls, cls._atomic_commit is StorageBackend._atomic_commit)
        if cls._atomic_commit is StorageBackend._atomic_commit:
            process.guard(cls)

    # --- the seven -------------------------------------------------------------------------------------

    @abstractmethod
    async def connect(self) -> None:
        """Open the backend; harmless if it is open.

        Raises:
            StorageConnectionError: it cannot be reached or opened.
        """

    @abstractmethod
    async def disconnect(self) -> None:
        """Close the backend after what is under way; harmless if it is closed. It can be opened again."""

    @abstractmethod
    async def get(self, key: str) -> Any | None:
        """Return the caller's own copy of the value under ``key``, or None if there is none.

        Raises:
            CorruptValueError: what is stored is not JSON.
        """

    @abstractmethod
    async def set(self, key: str, value: Any, ttl: TTL | None = None) -> None:
        """Store ``value`` under ``key``, in place of what was there and of its expiry.

        Args:
            key: the key.
            value: a JSON value.
            ttl: seconds until it expires, or a timedelta; None for never. A backend of the seven methods gets
                seconds, as an int where they are whole and else as a float, whatever the caller gave.

        Raises:
            InvalidTTLError: it is not a positive, finite time.
            InvalidValueError: JSON cannot carry the value exactly; the old value is still there.
            UnknownOutcomeError: the connection was lost after sending.
        """

    @abstractmethod
    async def delete(self, key: str) -> bool:
        """Remove the entry and return True, or return False if there is none."""

    @abstractmethod
    async def exists(self, key: str) -> bool:
        """Tell whether there is an entry under ``key``."""

    @abstractmethod
    async def keys(self, pattern: str = "*") -> list[str]:
        """Return the keys that match the glob ``pattern`` (see `compile_glob`), sorted, each once."""

    # --- what this backend promises --------------------------------------------------------------------

    @property
    def capabilities(self) -> Capabilities:
        """What this backend promises beyond the seven methods."""
        return Capabilities()

    # --- how it is -------------------------------------------------------------------------------------

    async def health(self) -> Health:
        """Ask the store whether it answers, how fast, and what speaks against relying on it.

        Raises:
            NotConnectedError: the backend is not connected.
        """
        began = time.perf_counter()
        error: StorageError | None = None
        try:
            await self.exists(_PROBE)
        except NotConnectedError:
            raise
        except StorageError as failure:
            error = failure
        return Health(time.perf_counter() - began, (), error, type(self).__name__)

    def stats(self) -> Stats:
        """Return what this instance has counted in all event loops, and how it stands at this moment.

        It asks nobody and costs little; any thread may call it. Every backend answers in the same form, with None
        where it has no such thing.
        """
        return counted(self)

    def _telemetry_target(self, key: str | None) -> Target:
        """Return where calls about ``key`` go; None: about no single one."""
        return Target(type(self).__name__.removesuffix("Backend").lower() or "other")

    # --- several entries at once -----------------------------------------------------------------------

    async def get_many(self, keys: Iterable[str], *, on_corrupt: OnCorrupt = None) -> dict[str, Any]:
        """Return the values of those ``keys`` that have one, in the order of ``keys``.

        Args:
            keys: the keys; a repeated one counts once.
            on_corrupt: called with the error of each entry that cannot be decoded, which is then left out.

        Raises:
            CorruptValueError: a value is not JSON, and ``on_corrupt`` is None.
        """
        found: dict[str, Any] = {}
        for key in check_keys(keys):
            try:
                value = await self.get(key)
                if value is not None or await self.exists(key):
                    found[key] = value
            except CorruptValueError as error:
                report_corrupt(error, on_corrupt)
        return found

    async def set_many(self, mapping: Mapping[str, Any], ttl: TTL | None = None) -> None:
        """Store every value of ``mapping`` under its key, all with the same ``ttl`` in seconds.

        All keys and values are checked before the first is written.
        """
        ttl_ms = check_ttl(ttl)
        mapping = copied(mapping)
        for key in check_keys(mapping):
            encode(mapping[key], key=key)
        for key, value in mapping.items():
            await self.set(key, value, process.whole_seconds(ttl_ms))

    async def delete_many(self, keys: Iterable[str]) -> int:
        """Remove the entries under ``keys`` and return how many there were."""
        return sum([await self.delete(key) for key in check_keys(keys)])

    async def scan(
        self,
        pattern: str = "*",
        *,
        limit: int | None = None,
        cursor: str | None = None,
        reverse: bool = False,
        on_corrupt: OnCorrupt = None,
    ) -> Page:
        """Return a page of the entries whose keys match, in the order of their keys.

        Entries that are there during the whole scan come exactly once, whatever else is written meanwhile.

        Args:
            pattern: a glob, see `compile_glob`.
            limit: at most so many entries; None for all.
            cursor: where the page before ended; None for the start.
            reverse: begin with the greatest key and go back. With ids of `new_id` the newest come first.
            on_corrupt: called with the error of each entry that cannot be decoded, which is then left out.

        Raises:
            CorruptValueError: a value is not JSON, and ``on_corrupt`` is None.
        """
        check_limit(limit)
        after = None if cursor is None else decode_cursor(cursor)
        waiting = await self.keys(pattern)
        if reverse:
            waiting = [key for key in reversed(waiting) if after is None or key < after]
        elif after is not None:
            waiting = [key for key in waiting if key > after]
        items: list[tuple[str, Any]] = []
        last: str | None = None
        for position, key in enumerate(waiting):
            items += (await self.get_many([key], on_corrupt=on_corrupt)).items()
            last = key
            if limit is not None and position + 1 >= limit:
                break
        more = last is not None and last != waiting[-1]
        return Page(items, encode_cursor(last) if more and last is not None else None)

    async def iterate(
        self, pattern: str = "*", *, page_size: int = 500, reverse: bool = False, on_corrupt: OnCorrupt = None
    ) -> AsyncIterator[tuple[str, Any]]:
        """Yield key and value of every entry whose key matches, in the order of their keys, page by page.

        ``async for key, value in storage.iterate("deal:*"): ...``. Nothing is held between two pages: neither a
        lock nor a connection, so the loop may take its time, or end early.

        Args:
            pattern: a glob, see `compile_glob`.
            page_size: entries that are read at once.
            reverse: begin with the greatest key and go back.
            on_corrupt: called with the error of each entry that cannot be decoded, which is then left out.

        Raises:
            CorruptValueError: a value is not JSON, and ``on_corrupt`` is None.
        """
        cursor: str | None = None
        while True:
            page = await self.scan(pattern, limit=page_size, cursor=cursor, reverse=reverse, on_corrupt=on_corrupt)
            for item in page.items:
                yield item
            cursor = page.cursor
            if cursor is None:
                return

    async def find(
        self,
        pattern: str,
        where: Mapping[str, Any],
        *,
        reverse: bool = False,
        limit: int | None = None,
        cursor: str | None = None,
        on_corrupt: OnCorrupt = None,
    ) -> Page:
        """Return a page of the records with certain fields, in the order of their keys.

        ``await storage.find("event", {"session_id": "s1"}, reverse=True, limit=50)``. Values are compared as Python
        does (1 equals 1.0 and True); a record without the field, with null there, or that is no dict never matches.
        It costs what it finds where the field has an index (see `Index`), else all records under the keys are read.

        Args:
            pattern: a kind (``event``), what the keys begin with (``event:2026``), or a glob (``event:*-eu``).
            where: the value of each field that is asked for, all of which must be so; dots lead into dicts.
            reverse: begin with the greatest key and go back. With ids of `new_id` the newest come first.
            limit: at most so many; None for all.
            cursor: where the page before ended; None for the start.
            on_corrupt: called with the error of each entry that cannot be decoded, which is then left out.

        Raises:
            InvalidArgumentError: a field is no name, or its value None or no JSON.
            InvalidCursorError: the cursor is of another search.
            CorruptValueError: a value is not JSON, and ``on_corrupt`` is None.
        """
        from .driver.search import Search  # with what it needs, when somebody does

        search = Search.of(pattern, where, reverse=bool(reverse))
        check_limit(limit)
        items, last = await self._entry_search(search.query(cursor, limit), on_corrupt)
        return Page(items, None if last is None else search.cursor(last))

    async def count(self, pattern: str = "*") -> int:
        """Return how many keys match the glob ``pattern``."""
        return len(await self.keys(pattern))

    # --- expiry ----------------------------------------------------------------------------------------

    async def ttl(self, key: str) -> float | None:
        """Return the seconds that the entry has left, or None if it does not expire.

        Raises:
            MissingKeyError: there is no entry.
            UnsupportedError: the backend cannot tell; only where `capabilities.expiry` is "process".
        """
        return await process.remaining(self, check_key(key))

    async def expire(self, key: str, ttl: TTL) -> bool:
        """Let the entry expire ``ttl`` seconds from now; return False if there is none."""
        ttl_ms = check_ttl(ttl, key=key)
        if ttl_ms is None:
            raise InvalidArgumentError("expire() needs a TTL; persist() removes one", key=key)
        return await touch(self, check_key(key), ttl_ms)

    async def persist(self, key: str) -> bool:
        """Let the entry never expire; return False if there is none."""
        return await touch(self, check_key(key), None)

    async def _entry_search(
        self, query: KeyQuery, on_corrupt: OnCorrupt
    ) -> tuple[list[tuple[str, Any]], str | None]:
        """Return what ``query`` asks for, and the key after which there is more; None if there is not."""
        return await searching.search(self, query, on_corrupt)

    # --- the primitive under the atomic tools ----------------------------------------------------------

    async def _atomic_snapshot(self, keys: Sequence[str]) -> list[bytes | None]:
        """Return the stored texts, as `_atomic_commit` compares them; None for a missing entry."""
        return [await process.text_of(self, key) for key in keys]

    async def _atomic_commit(self, commit: Commit) -> Outcome:
        """Apply all writes if all expectations hold, else none. This default: within this process."""
        return await process.commit(self, commit)

    def _log_seconds(self) -> tuple[float, float]:
        """Return how long an append may take, and how much clocks may differ, for those who follow a log."""
        return getattr(self, "timeout", None) or COMMIT_SECONDS, CLOCK_SECONDS

    def _stored_as(self, prefix: str) -> str:
        """Return what the store calls a beginning of keys, for `wakeups`."""
        return prefix

    async def _hears(self, prefix: str) -> bool:
        """Tell whether what others store under ``prefix`` wakes who waits for it here, see `wakeups`."""
        return False

    def _atomic_lasts(self, key: str) -> bool:
        return local_key(key).startswith(LASTING)

    def _is_connected(self) -> bool:
        """Tell whether `connect` was called, and not `disconnect` since; a forked child inherits the answer."""
        return opening_of(self).is_connected

    def _get_in_thread(self, key: str, loop: AbstractEventLoop) -> tuple[Any] | None:
        """Return what `get` in ``loop`` would, in the thread that calls this; None if only the loop can tell."""
        return None

    def _new_transaction(self) -> Transaction:
        from .seller.transaction import Transaction  # with what it needs, when somebody does

        return Transaction(self)

    # --- use as a context ------------------------------------------------------------------------------

    async def __aenter__(self) -> Self:
        """Connect."""
        await self.connect()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Disconnect."""
        await self.disconnect()
