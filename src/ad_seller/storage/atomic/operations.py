"""The atomic tools, each a few lines on top of snapshot and commit.

Expectations compare the stored text as it was read. So no version column is needed, and entries that an older
seller agent wrote take part.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Generic, TypeVar, overload

from ..concurrency.backoff import DEFAULT_ATTEMPTS
from ..driver.commit import Commit, Delete, Expect, Outcome, Put, Refused, Touch, Write, commit_of
from ..errors import InvalidArgumentError, shown
from ..records.codec import canonical, decode, encode
from ..records.expiry import TTL, check_ttl
from ..records.keys import check_key
from ..records.markers import KEEP, Keep, Marker
from .attempts import run_transaction
from .committer import Committer
from .confirm import is_confirmed
from .state import tally_of
from .updates import update_entry
from .work import awaitable, check_work

if TYPE_CHECKING:
    from ..driver.query import KeyQuery
    from ..records.pages import OnCorrupt
    from .lease import Lease
    from .transaction import PlainTransaction

Change = Callable[[Any], Any]
Tx = TypeVar("Tx", bound="PlainTransaction")
T = TypeVar("T")


class AtomicOperations(Generic[Tx]):
    """Read, change and write without losing what others write; mixed into every backend."""

    if TYPE_CHECKING:

        async def _entry_search(
            self, query: KeyQuery, on_corrupt: OnCorrupt
        ) -> tuple[list[tuple[str, Any]], str | None]: ...

    async def _atomic_snapshot(self, keys: Sequence[str]) -> list[bytes | None]:
        raise NotImplementedError

    async def _atomic_commit(self, commit: Commit) -> Outcome:
        raise NotImplementedError

    def _atomic_finish(self, reads: Mapping[str, bytes | None], writes: Mapping[str, Write]) -> Awaitable[Outcome]:
        """Commit what a transaction has read and written."""
        return self._atomic_commit(commit_of(reads, writes))

    def _new_transaction(self) -> Tx:
        raise NotImplementedError

    def _atomic_encode(self, value: Any, key: str) -> bytes:
        return encode(value, key=key)

    def _atomic_confirms(self, key: str) -> bool:
        """What was read is as durable as what is acknowledged, unless the backend knows better."""
        return False

    def _atomic_update(self, key: str, change: Change, ttl: int | Keep | None, attempts: int) -> Awaitable[Any]:
        """Do what `update` says; the arguments are checked, but for the key."""
        return update_entry(self, key, change, ttl=ttl, attempts=attempts)

    def _atomic_parts(self) -> tuple[object, ...]:
        return (self,)

    def _atomic_check(self) -> None:
        """Any use is fine, unless the backend knows better."""

    async def exists(self, key: str) -> bool:
        """See `StorageBackend.exists`."""
        raise NotImplementedError

    async def keys(self, pattern: str = "*") -> list[str]:
        """See `StorageBackend.keys`."""
        raise NotImplementedError

    async def ttl(self, key: str) -> float | None:
        """See `StorageBackend.ttl`."""
        raise NotImplementedError

    async def create(self, key: str, value: Any, ttl: TTL | None = None) -> bool:
        """Store ``value`` only if there is no entry under ``key``; tell whether it was stored.

        Args:
            key: the key.
            value: a JSON value.
            ttl: seconds until it expires; None for never.
        """
        key = check_key(key)
        put = Put(key, self._atomic_encode(value, key), check_ttl(ttl, key=key))
        while not await _applies(self, Expect(key, None), put):
            if not self._atomic_confirms(key):
                return False
            [text] = await self._atomic_snapshot([key])
            if text is not None and await is_confirmed(self, key, text):
                return False
        return True

    async def compare_and_set(self, key: str, expected: Any, value: Any, ttl: TTL | Keep | None = KEEP) -> bool:
        """Store ``value`` only if the entry holds ``expected`` at that moment; tell whether it was stored.

        Args:
            key: the key.
            expected: the value that must be there, with its types (1 is neither 1.0 nor True; the order of
                dict keys does not count). Use `create` to expect that there is none.
            value: a JSON value.
            ttl: seconds until it expires, None for never; the entry's expiry is kept if not given.
        """
        key = check_key(key)
        put = Put(key, self._atomic_encode(value, key), ttl if ttl is KEEP else check_ttl(ttl, key=key))
        wanted = canonical(decode(self._atomic_encode(expected, key)))
        while True:
            [text] = await self._atomic_snapshot([key])
            if text is None or canonical(decode(text, key=key)) != wanted:
                if await is_confirmed(self, key, text):
                    return False
                continue
            if await _applies(self, Expect(key, text), put):
                return True
            tally_of(self).conflict(runs_again=True)

    async def get_and_delete(self, key: str) -> Any | None:
        """Remove the entry and return the value that it had, or None; of several callers one gets it."""
        key = check_key(key)
        while True:
            [text] = await self._atomic_snapshot([key])
            if text is None:
                if await is_confirmed(self, key, None):
                    return None
                continue
            value = decode(text, key=key)
            if await _applies(self, Expect(key, text), Delete(key)):
                return value
            tally_of(self).conflict(runs_again=True)

    async def increment(self, key: str, by: int = 1, ttl: TTL | None = None) -> int:
        """Add ``by`` to the int under ``key``, starting from 0 (or from a stored null), and return the sum.

        Args:
            key: the key of the counter.
            by: what is added; may be negative.
            ttl: seconds until the counter expires, set when it is created and kept afterwards, so that it can
                count per time window; None for never.

        Raises:
            InvalidArgumentError: ``by`` is no int, or the entry holds something else than an int.
        """
        if not isinstance(by, int) or isinstance(by, bool):
            raise InvalidArgumentError(f"A counter is incremented by an int, not {shown(by)}", key=key)

        def add(current: Any) -> int:
            if current is not None and type(current) is not int:
                raise InvalidArgumentError(
                    f"{key!r} holds {type(current).__name__}, not an int; it cannot be incremented", key=key
                )
            return (current or 0) + by

        total: int = await update_entry(self, key, add, ttl=KEEP, created_ttl=check_ttl(ttl, key=key))
        return total

    @overload
    async def update(
        self,
        key: str,
        change: Callable[[Any], Marker],
        *,
        ttl: TTL | Keep | None = KEEP,
        attempts: int = DEFAULT_ATTEMPTS,
    ) -> Any: ...

    @overload
    async def update(
        self,
        key: str,
        change: Callable[[Any], T | Marker],
        *,
        ttl: TTL | Keep | None = KEEP,
        attempts: int = DEFAULT_ATTEMPTS,
    ) -> T: ...

    async def update(
        self, key: str, change: Change, *, ttl: TTL | Keep | None = KEEP, attempts: int = DEFAULT_ATTEMPTS
    ) -> Any:
        """Replace the value under ``key`` by ``change(value)`` and return the new one; nothing is lost.

        ``change`` may run several times, so it should do nothing else than compute. Changes of tasks of one
        process are applied in the order of their calls, those that wait at the same time in one commit; if another
        process was faster, the new value is read and they run again.

        Args:
            key: the key.
            change: a plain function from the current value (None if there is none) to the new one, or to
                `DELETE` or `LEAVE`. It returns what is to be stored: None is refused, because that is what a
                function returns that only changes its argument.
            ttl: seconds until it expires, None for never; the entry's expiry is kept if not given.
            attempts: how often at most.

        Returns:
            The new value; None after `DELETE`; the current value after `LEAVE`.

        Raises:
            ConflictError: other processes were faster each time; nothing was written.
            InvalidValueError: ``change`` returned None, or what JSON cannot carry; nothing was written.
            UnsupportedError: only on a backend of seven methods: the expiry is to be kept, and it is not known.
        """
        ttl_ms = ttl if ttl is KEEP else check_ttl(ttl, key=key)
        _check_attempts(attempts)
        return await self._atomic_update(key, change, ttl_ms, attempts)

    # --- several keys ----------------------------------------------------------------------------------

    def transaction(self) -> Tx:
        """Return a transaction, to be entered with ``async with``.

        What is written in the block takes effect together at its end, and only if nothing that was read in it
        has changed. An exception that leaves the block leaves nothing behind.

        Raises:
            ConflictError: at the end of the block; nothing was written.
            TransactionError: it is nested, or used after its end or in another task.
        """
        return self._new_transaction()

    async def transact(self, work: Callable[[Tx], Awaitable[T]], *, attempts: int = DEFAULT_ATTEMPTS) -> T:
        """Run ``work`` with a transaction, again on a conflict, and return what it returns.

        Args:
            work: an async function of the transaction. It may run several times, so it should do nothing that
                cannot be repeated but what the transaction does.
            attempts: how often at most, with growing pauses.

        Raises:
            ConflictError: others were faster each time; nothing was written.
        """
        _check_attempts(attempts)
        check_work(work)

        async def run(transaction: Tx) -> T:
            async with transaction:
                result: T = await awaitable(work(transaction))
                return result

        return await run_transaction(self, self._new_transaction, run, attempts=attempts)

    def lease(self, name: str, ttl: TTL, *, wait: float = 0.0) -> Lease:
        """Return a lease, to be entered with ``async with``: one holder among all processes.

        Args:
            name: what is leased, e.g. ``sync:gam``.
            ttl: seconds after which the lease of a holder that died ends; it is renewed while held.
            wait: seconds to wait for another holder at most.

        Raises:
            LeaseHeldError: on entering: another holder has it.
            LeaseLostError: out of the block: it could not be renewed in time.
        """
        from .lease import Lease  # with what it needs, when somebody does

        return Lease(self, name, ttl, wait)


def _check_attempts(attempts: object) -> None:
    if not isinstance(attempts, int) or isinstance(attempts, bool) or attempts < 1:
        raise InvalidArgumentError(f"attempts is a positive int, not {shown(attempts)}")


async def touch(store: Committer, key: str, ttl_ms: int | None) -> bool:
    """Give an entry another expiry; tell whether there is one."""
    while True:
        outcome = await store._atomic_commit(Commit((), (Touch(key, ttl_ms),)))
        if not isinstance(outcome, Refused) and outcome[0]:
            return True
        if await is_confirmed(store, key, None):
            return False


async def _applies(store: Committer, expect: Expect, write: Write) -> bool:
    return not isinstance(await store._atomic_commit(Commit((expect,), (write,))), Refused)
