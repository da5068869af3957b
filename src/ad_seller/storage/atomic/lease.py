"""One holder among all processes, for a scheduler or a synchronisation."""

from __future__ import annotations

import asyncio
import logging
import time
import uuid
from contextlib import suppress
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

from ..concurrency.elapsed import elapsed
from ..concurrency.tasks import later, run_to_end
from ..driver.commit import Commit, Delete, Expect, Outcome, Put, Refused, Touch, Write
from ..errors import (
    InvalidArgumentError,
    LeaseHeldError,
    LeaseLostError,
    StorageError,
    TransactionError,
    UnknownOutcomeError,
    shown,
)
from ..records.codec import decode, encode
from ..records.expiry import TTL, check_ttl
from ..records.keys import check_key
from .endings import end
from .expiring import ExpiryCap

if TYPE_CHECKING:
    from .committer import Committer

log = logging.getLogger("ad_seller.storage")

LEASE_PREFIX = "lease:"
FENCE_PREFIX = "lease_fence:"
#: How long the number of a holder is kept: leases that are named after requests leave nothing for ever, and the
#: clock, from which the next number comes, has gone on as long.
_FENCE_KEPT_MS = 30 * 86_400_000
_POLL = 0.05  #: seconds between two looks at a lease that another holds
_RENEWALS = 3  #: renewals in each time to live, so that one may fail


class Lease:
    """Held by one caller among all that use the store, while its ``async with`` block runs.

    It is renewed in the background and given up at the end; if its holder dies, it ends by itself after its
    time to live. If it is lost (no renewal got through in time), the block is cancelled and leaves with
    `LeaseLostError`.

    Attributes:
        key: the entry that stands for the lease.
        fence: a number that is larger with each holder: milliseconds since the epoch, or one more than the last.
            Give it to systems outside the store, so that they can refuse a holder that has been replaced; inside,
            `Transaction.hold` does that.
    """

    def __init__(self, store: Committer, name: str, ttl: TTL, wait: float) -> None:
        """Take nothing yet; that is done by ``async with``."""
        if not isinstance(name, str) or not name:
            raise InvalidArgumentError(f"The name of a lease is a non-empty str, not {shown(name)}")
        self.key = check_key(LEASE_PREFIX + name)
        self.fence: int = 0
        self._text = b""
        self._expiry = ExpiryCap(store)
        self._store = store
        self._fence_key = check_key(FENCE_PREFIX + name)
        ttl_ms = check_ttl(ttl, key=self.key)
        if ttl_ms is None:
            raise InvalidArgumentError("A lease needs a time to live in seconds", key=self.key)
        if not isinstance(wait, int | float) or isinstance(wait, bool) or not wait >= 0:
            raise InvalidArgumentError(f"wait is a number of seconds, 0 or more, not {shown(wait)}", key=self.key)
        self._ttl_ms = ttl_ms
        self._wait = wait
        self._deadline = 0.0
        self._entered = False
        self._holder: asyncio.Task[Any] | None = None
        self._cancelling = 0
        self._renewing: asyncio.Task[None] | None = None
        self._lost = False
        self._trouble: Exception | None = None  #: why the last try to renew it failed

    @property
    def held(self) -> bool:
        """Whether it is held as far as is known here; only a commit with `Transaction.hold` makes sure."""
        return self._renewing is not None and not self._lost and elapsed() < self._deadline

    def check(self) -> None:
        """Raise `LeaseLostError` unless it is held; for long computations that do not await."""
        if not self.held:
            raise self._error()

    async def __aenter__(self) -> Self:
        """Wait for the lease, at most ``wait`` seconds.

        Raises:
            LeaseHeldError: another holder has it.
            LeaseLostError: the store told that it was taken when its time to live was over; the block does not run.
            TransactionError: this object is in use; make another one with `lease`.
        """
        if self._entered:
            raise TransactionError("A lease is entered once; make another one with lease()", key=self.key)
        self._entered = True
        self._holder = asyncio.current_task()
        self._cancelling = self._holder.cancelling() if self._holder else 0
        give_up = elapsed() + self._wait
        while not await self._take():
            left = give_up - elapsed()
            if left <= 0:
                raise LeaseHeldError(f"Another holder has {self.key!r}; try again later", key=self.key)
            await asyncio.sleep(min(_POLL, left))
        if elapsed() >= self._deadline:  # the store answered when the time to live was over
            await run_to_end(self._give_up())
            raise self._error()
        self._renewing = later(self._renew())
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Give it up; if it was lost meanwhile, say so."""
        renewing, self._renewing = self._renewing, None
        assert renewing is not None, "entered"  # noqa: S101
        cancelled_here = self._lost
        try:
            await run_to_end(self._leave(renewing))
        finally:
            ours = False
            if cancelled_here and self._holder is not None:
                ours = self._holder.uncancel() <= self._cancelling
        if self._lost:
            self._tell(error, ours=ours)

    async def _leave(self, renewing: asyncio.Task[None]) -> None:
        """End the renewal and give the lease up; one piece, so that a cancellation cannot come in between."""
        renewing.cancel()
        await asyncio.wait([renewing])
        if not self._lost:
            outcome = await self._give_up()
            self._lost = isinstance(outcome, Refused)  # it ended unnoticed, e.g. while the block never awaited

    def _tell(self, error: BaseException | None, *, ours: bool) -> None:
        """Raise the loss, unless the block leaves with an exception of its own; that gets a note."""
        if error is None or (ours and isinstance(error, asyncio.CancelledError)):
            raise self._error() from (self._trouble or error)
        error.add_note(str(self._error()))

    async def _take(self) -> bool:
        """Try once; the lease and its new fence are one commit."""
        held, fence = await self._store._atomic_snapshot([self.key, self._fence_key])
        if held is not None:
            await self._expiry.look(self.key, held, _ttl_of(held, self._ttl_ms))
            return False
        last = 0 if fence is None else decode(fence, key=self._fence_key)
        # A failover may forget the last number; by then the clock has gone on.
        self.fence = max(last + 1, int(time.time() * 1000))
        self._text = encode({"holder": uuid.uuid4().hex, "fence": self.fence, "ttl_ms": self._ttl_ms})
        kept = max(_FENCE_KEPT_MS, self._ttl_ms)
        writes = (Put(self.key, self._text, self._ttl_ms), Put(self._fence_key, encode(self.fence), kept))
        commit = Commit((Expect(self.key, None), Expect(self._fence_key, fence)), writes)
        asked = elapsed()
        try:
            outcome = await run_to_end(self._store._atomic_commit(commit))
        except (asyncio.CancelledError, UnknownOutcomeError) as error:
            await end(self._store, self._give_up(), error)  # it may have been taken, and nobody would use it
            raise
        self._deadline = asked + self._ttl_ms / 1000
        return not isinstance(outcome, Refused)

    async def _renew(self) -> None:
        while elapsed() < self._deadline:
            await asyncio.sleep(min(self._ttl_ms / 1000 / _RENEWALS, self._deadline - elapsed()))
            asked = elapsed()
            try:
                async with asyncio.timeout(max(0.001, self._deadline - asked)):
                    outcome = await self._if_held(Touch(self.key, self._ttl_ms))
            except Exception as error:  # also of a custom backend; tried again until the time to live has passed
                log.debug("The lease %r could not be renewed: %s", self.key, error)
                self._trouble = self._trouble or error  # the last try may only have been cut short
                continue
            self._trouble = None
            if isinstance(outcome, Refused):
                break
            self._deadline = asked + self._ttl_ms / 1000
        if self._renewing is not None:
            self._lost = True
            if self._holder is not None:
                self._holder.cancel()

    async def _give_up(self) -> Outcome | None:
        """Remove the lease if it is ours; if that fails, it ends by itself."""
        with suppress(StorageError):
            return await self._if_held(Delete(self.key))
        return None

    async def _if_held(self, write: Write) -> Outcome:
        return await self._store._atomic_commit(Commit((Expect(self.key, self._text),), (write,)))

    def _error(self) -> LeaseLostError:
        why = "it was not renewed in time, or taken away"
        if (trouble := self._trouble) is not None:
            why = f"it could not be renewed ({str(trouble) or type(trouble).__name__})"
        return LeaseLostError(
            f"{self.key!r} is not held (any more): {why}. Stop what it protects and take it anew.", key=self.key
        )


def _ttl_of(held: bytes, ours: int) -> int:
    """Return the milliseconds that a lease was taken for; ours, where an older version did not write them down."""
    record = decode(held)
    ttl_ms = record.get("ttl_ms") if isinstance(record, dict) else None
    return ttl_ms if isinstance(ttl_ms, int) else ours
