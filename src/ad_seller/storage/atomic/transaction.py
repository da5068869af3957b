"""Several reads and writes that take effect together, or not at all."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self, TypeVar, overload

from ..driver.commit import Commit, Delete, Expect, Put, Refused, Write, commit_of
from ..driver.query import KeyQuery
from ..errors import (
    ConflictError,
    CorruptValueError,
    InvalidTransitionError,
    LeaseLostError,
    MissingKeyError,
    StorageError,
    TransactionError,
)
from ..records.codec import decode
from ..records.expiry import TTL, check_ttl
from ..records.filters import matches
from ..records.globs import compile_glob, escape
from ..records.keys import check_key, check_keys
from ..records.markers import KEEP, LEAVE, Keep, Marker
from ..records.pages import OnCorrupt, Page, report_corrupt
from . import beside
from .committer import Committer
from .confirm import changed_since
from .fallback import changed
from .state import tally_of

if TYPE_CHECKING:
    from .lease import Lease

T = TypeVar("T")


class PlainTransaction:
    """Reads that are remembered and writes that are kept back until the end; then one commit.

    It belongs to the task that entered it. Writes are visible to its own reads. If anything that was read has
    changed by the end, nothing is written and `ConflictError` is raised; `StorageBackend.transact` then tries
    again. Entries that a listing did not find because they did not exist yet are not watched.
    """

    def __init__(self, store: Committer) -> None:
        """Begin nothing yet; that is done by ``async with``."""
        self._store = store
        self._task: asyncio.Task[Any] | None = None
        self._entered = False
        self._leases: set[str] = set()
        self._reads: dict[str, bytes | None] = {}
        self._writes: dict[str, Write] = {}
        self._conflicted = False

    async def __aenter__(self) -> Self:
        """Begin."""
        task = asyncio.current_task()
        if task is None or self._entered:
            raise TransactionError("A transaction is entered once, in a task; make a new one with transaction()")
        if beside.is_inside(self._store, task):
            raise TransactionError("Transactions cannot be nested; pass the outer one on instead")
        self._task = task
        self._entered = True
        beside.entered(self)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Commit, unless an exception leaves the block."""
        task, self._task = self._task, None
        if task is not None:
            beside.left()
        if error is None:
            await self._finish()
        elif _is_answer(error):
            await self._confirm_reads()

    async def _finish(self) -> None:
        if self._writes:
            outcome = await self._store._atomic_finish(self._reads, self._writes)
            if isinstance(outcome, Refused):
                raise self._conflict(outcome.key)
            return
        await self._confirm_reads()
        if len(self._reads) > 1 or self._leases:
            texts = await self._store._atomic_snapshot(list(self._reads))
            for (key, before), after in zip(self._reads.items(), texts, strict=True):
                if before != after:
                    raise self._conflict(key)

    async def _confirm_reads(self) -> None:
        if (key := await changed_since(self._store, self._reads)) is not None:
            raise self._conflict(key)

    @property
    def changes(self) -> dict[str, Any]:
        """What the end will write, by key: copies of the values, or `DELETE`; for logs and audits."""
        return {
            key: decode(write.text) if isinstance(write, Put) else Marker.DELETE
            for key, write in self._writes.items()
        }

    @property
    def _commit(self) -> Commit:
        """What has been read and written so far, as the commit that the end will make of it."""
        return commit_of(self._reads, self._writes)

    def _conflict(self, key: str) -> StorageError:
        if key in self._leases:
            return LeaseLostError(f"{key!r} is no longer held; nothing was written", key=key)
        self._conflicted = True
        tally_of(self._store).conflict()
        return ConflictError(
            f"{key!r} was changed by others during the transaction; nothing was written. Run it again, or let "
            "transact() do so.",
            key=key,
        )

    def _check_open(self) -> None:
        if self._task is None:
            raise TransactionError("The transaction has not begun, or has ended")
        if asyncio.current_task() is not self._task:
            raise TransactionError("A transaction belongs to the task that entered it; this is another one")

    # --- reads -----------------------------------------------------------------------------------------

    async def get(self, key: str) -> Any | None:
        """Return the caller's own copy of the value, own writes included, or None."""
        text = await self._text(check_key(key))
        return None if text is None else decode(text, key=key)

    async def exists(self, key: str) -> bool:
        """Tell whether there is an entry, own writes included."""
        return await self._text(check_key(key)) is not None

    async def get_many(self, keys: Iterable[str], *, on_corrupt: OnCorrupt = None) -> dict[str, Any]:
        """Return the values of those ``keys`` that have one, own writes included, in the order of ``keys``."""
        self._check_open()
        wanted = check_keys(keys)
        found = dict(await self._view(set(wanted), on_corrupt))
        return {key: found[key] for key in wanted if key in found}

    async def scan(self, pattern: str = "*", *, on_corrupt: OnCorrupt = None) -> Page:
        """Return all entries whose keys match, own writes included; each is watched like one that `get` read."""
        self._check_open()
        glob = compile_glob(pattern)
        stored = await self._store.keys(pattern)
        return Page(await self._view({*stored, *filter(glob.matches, self._writes)}, on_corrupt), None)

    async def _entry_search(
        self, query: KeyQuery, on_corrupt: OnCorrupt
    ) -> tuple[list[tuple[str, Any]], str | None]:
        """Return the entries that match, as the transaction sees them; only these and known ones are watched."""
        if not query.where and query.limit is None:
            items = (await self.scan(f"{escape(query.glob.prefix)}*", on_corrupt=on_corrupt)).items
            return (items[::-1] if query.reverse else items), None
        self._check_open()

        def report(error: CorruptValueError) -> None:
            if error.key not in self._writes:
                report_corrupt(error, on_corrupt)

        known = list(filter(query.has, self._known_keys))
        most = None if query.limit is None else query.limit + len(known)  # those here may have changed meanwhile
        stored, _ = await self._store._entry_search(query.up_to(most), report)
        items = await self._view({*known, *(key for key, _ in stored)}, on_corrupt)
        found = [item for item in items if matches(item[1], query.where)]
        if query.reverse:
            found.reverse()
        more = query.limit is not None and len(found) > query.limit
        found = found[: query.limit]
        return found, found[-1][0] if more else None

    async def _view(self, keys: set[str], on_corrupt: OnCorrupt) -> list[tuple[str, Any]]:
        """Return the entries under ``keys`` as the transaction sees them, in the order of their keys."""
        await self._remember([key for key in keys if key not in self._writes])
        items: list[tuple[str, Any]] = []
        for key in sorted(keys):
            text = self._known(key)
            try:
                items += [] if text is None else [(key, decode(text, key=key))]
            except CorruptValueError as error:
                report_corrupt(error, on_corrupt)
        return items

    @property
    def _known_keys(self) -> set[str]:
        return {*self._reads, *self._writes}

    async def _text(self, key: str) -> bytes | None:
        self._check_open()
        if key not in self._writes and key not in self._reads:
            [self._reads[key]] = await self._store._atomic_snapshot([key])
        return self._known(key)

    async def _remember(self, keys: list[str]) -> None:
        unknown = [key for key in keys if key not in self._reads]
        if unknown:
            self._reads.update(zip(unknown, await self._store._atomic_snapshot(unknown), strict=True))

    def _known(self, key: str) -> bytes | None:
        write = self._writes.get(key)
        if write is None:
            return self._reads[key]
        return write.text if isinstance(write, Put) else None

    # --- writes ----------------------------------------------------------------------------------------

    async def set(self, key: str, value: Any, ttl: TTL | Keep | None = None) -> None:
        """Store ``value`` at the end; ``ttl`` in seconds, None for never, `KEEP` for the expiry that it has."""
        self._check_open()
        key = check_key(key)
        ttl_ms = ttl if ttl is KEEP else check_ttl(ttl, key=key)
        earlier = self._writes.get(key)
        if ttl_ms is KEEP and earlier is not None:
            ttl_ms = earlier.ttl_ms if isinstance(earlier, Put) else None
        self._writes[key] = Put(key, self._store._atomic_encode(value, key), ttl_ms)

    async def delete(self, key: str) -> bool:
        """Remove the entry at the end; tell whether there is one."""
        existed = await self.exists(key)
        self._writes[check_key(key)] = Delete(key)
        return existed

    async def create(self, key: str, value: Any, ttl: TTL | None = None) -> bool:
        """Store ``value`` at the end if there is no entry now; tell whether it will be stored."""
        if await self.exists(key):
            return False
        await self.set(key, value, ttl)
        return True

    @overload
    async def update(self, key: str, change: Callable[[Any], Marker], *, ttl: TTL | Keep | None = KEEP) -> Any: ...

    @overload
    async def update(
        self, key: str, change: Callable[[Any], T | Marker], *, ttl: TTL | Keep | None = KEEP
    ) -> T: ...

    async def update(self, key: str, change: Callable[[Any], Any], *, ttl: TTL | Keep | None = KEEP) -> Any:
        """Replace the value by ``change(value)`` at the end; see `StorageBackend.update`."""
        current = await self.get(key)
        value = changed(change, current, key)
        if value is LEAVE:
            return current
        if value is Marker.DELETE:
            await self.delete(key)
            return None
        await self.set(key, value, ttl)
        return value

    def _include(self, expect: Expect, write: Write) -> None:
        """Add a part that the caller has made; for tools built on top of transactions."""
        self._check_open()
        self._reads[expect.key] = expect.text
        self._writes[write.key] = write

    async def hold(self, lease: Lease) -> None:
        """Let the commit depend on ``lease`` still being held.

        Raises:
            LeaseLostError: it is not, now or at the end.
        """
        self._check_open()
        lease.check()
        self._leases.add(lease.key)
        self._reads[lease.key] = lease._text


def _is_answer(error: BaseException) -> bool:
    """Tell whether an exception may say what was read, such as "it is booked already", not that reading failed."""
    ours = isinstance(error, StorageError) and not isinstance(error, MissingKeyError | InvalidTransitionError)
    return isinstance(error, Exception) and not ours
