"""A backend without await."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, Iterator
from types import TracebackType
from typing import Any, ParamSpec, Self, TypeVar

from ad_seller.storage import TTL, Capabilities, OnCorrupt, Stats, StorageBackend, StorageError

from .calls import run
from .handover import EscapedError, Methods
from .lease import SyncLease
from .log import SyncLog
from .loop import loop_thread
from .methods.base import StorageMethods
from .methods.bulk import BulkMethods
from .methods.entities import EntityMethods
from .methods.indexes import IndexMethods
from .methods.lifecycle import LifecycleMethods
from .methods.offers import OfferMethods
from .methods.once import OnceMethods
from .methods.operations import AtomicMethods
from .methods.together import JointMethods
from .outbox import SyncOutbox
from .reads import NotHereError, get_here, read_here
from .transaction import SyncTransaction, call_in_thread, in_thread

P = ParamSpec("P")
R = TypeVar("R")


class SyncStorage(
    StorageMethods,
    BulkMethods,
    AtomicMethods[SyncTransaction],
    OnceMethods[SyncTransaction],
    JointMethods,
    EntityMethods[StorageBackend],
    OfferMethods[StorageBackend],
    IndexMethods[StorageBackend],
    LifecycleMethods[StorageBackend],
    Methods[StorageBackend],
):
    """A `StorageBackend` whose methods block instead of being awaited; usable from any number of threads.

    All of them run in one event loop, in one thread of this process. The backend may be used by asynchronous code
    at the same time. Functions given to `transact`, `run_once` and `effect`, and ``on_corrupt``, run in the
    calling thread; the change given to `update` and its kin runs in that event loop, where all other callers wait
    for it meanwhile.

    Every method may raise what the asynchronous one raises, and `WrongThreadError` where it would wait for itself.

    Args:
        backend: what is called; connected or not.
    """

    def __init__(self, backend: StorageBackend) -> None:
        """Keep it."""
        self._inner = backend

    @property
    def backend(self) -> StorageBackend:
        """The asynchronous backend behind this one."""
        return self._inner

    @property
    def capabilities(self) -> Capabilities:
        """What the backend promises beyond the seven methods."""
        return self._inner.capabilities

    def get(self, key: str) -> Any | None:
        """Return the caller's own copy of the value under ``key``, or None if there is none."""
        try:
            return get_here(self._inner, key)
        except NotHereError:
            return super().get(key)

    def iterate(
        self, pattern: str = "*", *, page_size: int = 500, reverse: bool = False, on_corrupt: OnCorrupt = None
    ) -> Iterator[tuple[str, Any]]:
        """Yield key and value of every entry whose key matches, in the order of their keys, page by page."""
        cursor: str | None = None
        while True:
            page = self.scan(pattern, limit=page_size, cursor=cursor, reverse=reverse, on_corrupt=on_corrupt)
            yield from page.items
            cursor = page.cursor
            if cursor is None:
                return

    def transaction(self) -> SyncTransaction:
        """Return a transaction, to be entered with ``with``."""
        return SyncTransaction(self._inner.transaction(), self._inner)

    def log(
        self,
        name: str,
        by: Iterable[str] = (),
        *,
        retention: TTL | None = None,
        commit_seconds: float | None = None,
        clock_seconds: float | None = None,
    ) -> SyncLog:
        """Return the log called ``name``; it costs nothing and stores nothing until something is appended."""
        inner = self._inner.log(
            name, by, retention=retention, commit_seconds=commit_seconds, clock_seconds=clock_seconds
        )
        return SyncLog(inner, self._run)

    def outbox(self, name: str) -> SyncOutbox:
        """Return the outbox called ``name``; it costs nothing and stores nothing until something is put."""
        return SyncOutbox(self._inner.outbox(name), self._run)

    def stats(self) -> Stats:
        """Return what the backend has counted, in this and all other event loops; see `StorageBackend.stats`."""
        return self._inner.stats()

    def lease(self, name: str, ttl: TTL, *, wait: float = 0.0) -> SyncLease:
        """Return a lease, to be entered with ``with``: one holder among all processes."""
        return SyncLease(self._inner.lease(name, ttl, wait=wait))

    def __enter__(self) -> Self:
        """Connect."""
        try:
            self.connect()
        except StorageError:
            raise
        except BaseException:  # it was interrupted, perhaps when it was connected
            self.disconnect()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Disconnect, in every event loop that uses the backend."""
        try:
            self.disconnect()
        except StorageError:
            raise
        except BaseException:  # it was interrupted, perhaps before it began
            self.disconnect()
            raise

    def __repr__(self) -> str:
        """Name the backend."""
        return f"SyncStorage({self._inner!r})"

    def _run(self, function: Callable[P, Awaitable[R]], /, *args: P.args, **kwargs: P.kwargs) -> R:
        try:
            return run(function, *args, **kwargs)
        except EscapedError as error:
            raise error.error from None

    def _read(self, function: Callable[P, Awaitable[R]], /, *args: P.args, **kwargs: P.kwargs) -> R:
        try:
            found: R = read_here(self._inner, function, *args, **kwargs)
        except NotHereError:
            return self._run(function, *args, **kwargs)
        return found

    def _in_thread(self, work: Callable[..., R]) -> Callable[..., Awaitable[R]]:
        return in_thread(work, self._inner, loop_thread())

    def _call_in_thread(self, call: Callable[[str], R]) -> Callable[[str], Awaitable[R]]:
        return call_in_thread(call, loop_thread())
