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
from collections.abc import Sequence
from functools import cache
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

from .atomic import fallback as process
from .atomic.bulk import BulkOperations
from .atomic.once import OnceOperations
from .atomic.operations import touch
from .atomic.state import counted, opening_of
from .atomic.transfer import BulkTransfer
from .capabilities import Capabilities
from .driver.commit import Commit, Outcome
from .errors import InvalidArgumentError, NotConnectedError, StorageError
from .records.expiry import TTL, check_ttl
from .records.keys import check_key
from .records.namespaces import local_key
from .seller.entities import EntityHelpers
from .seller.indexes import IndexHelpers
from .seller.kinds import LASTING
from .seller.lifecycle import LifecycleHelpers
from .seller.streams import CLOCK_SECONDS, COMMIT_SECONDS, Streams
from .seller.together import JointWrites
from .stats import Stats, Target

if TYPE_CHECKING:
    from .health import Health
    from .seller.transaction import Transaction

_PROBE = "health:probe"  #: a key that is asked for, never written


class StorageBackend(
    BulkOperations,
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
        from .health import Health  # what a store is opened and read without is imported when it is first asked for

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
        return _transaction_class()(self)

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


@cache
def _transaction_class() -> type[Transaction]:
    from .seller.transaction import Transaction  # with what it needs, when somebody does

    return Transaction
