"""One holder among all processes, for a scheduler or a synchronisation."""

from __future__ import annotations

import asyncio
import time
import uuid
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

from .codec import decode, encode
from .commit import Commit, Delete, Expect, Put, Refused, Touch
from .errors import InvalidArgumentError, LeaseHeldError, LeaseLostError, StorageError, shown
from .expiry import TTL, check_ttl
from .keys import check_key

if TYPE_CHECKING:
    from .transaction import Store

LEASE_PREFIX = "lease:"
FENCE_PREFIX = "lease_fence:"
_POLL = 0.05  #: seconds between two looks at a lease that another holds
_RENEWALS = 3  #: renewals in each time to live, so that one may fail


class Lease:
    """Held by one caller among all that use the store, while its ``async with`` block runs.

    It is renewed in the background and given up at the end; if its holder dies, it ends by itself after its
    time to live. If it is lost (no renewal got through in time), the block is cancelled and leaves with
    `LeaseLostError`.

    Attributes:
        key: the entry that stands for the lease.
        fence: a number that is larger with each holder. Give it to systems outside the store, so that they
            can refuse a holder that has been replaced; inside, `Transaction.hold` does that.
    """

    def __init__(self, store: Store, name: str, ttl: TTL, wait: float) -> None:
        """Take nothing yet; that is done by ``async with``."""
        self.key = check_key(LEASE_PREFIX + name)
        self.fence = 0
        self.text = b""
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
        self._holder: asyncio.Task[Any] | None = None
        self._renewing: asyncio.Task[None] | None = None
        self._lost = False
        self._cancelling = 0

    @property
    def held(self) -> bool:
        """Whether it is held as far as is known here; only a commit with `Transaction.hold` makes sure."""
        return self._renewing is not None and not self._lost and time.monotonic() < self._deadline

    def check(self) -> None:
        """Raise `LeaseLostError` unless it is held; for long computations that do not await."""
        if not self.held:
            raise self._error()

    async def __aenter__(self) -> Self:
        """Wait for the lease, at most ``wait`` seconds.

        Raises:
            LeaseHeldError: another holder has it.
        """
        if self._renewing is not None:
            raise InvalidArgumentError("A lease is entered once at a time", key=self.key)
        give_up = time.monotonic() + self._wait
        while not await self._take():
            if time.monotonic() >= give_up:
                raise LeaseHeldError(f"Another holder has {self.key!r}; try again later", key=self.key)
            await asyncio.sleep(min(_POLL, self._ttl_ms / 1000))
        self._lost = False
        self._holder = asyncio.current_task()
        self._cancelling = self._holder.cancelling() if self._holder else 0
        self._renewing = asyncio.create_task(self._renew())
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Give it up; if it was lost meanwhile, say so."""
        renewing, self._renewing = self._renewing, None
        if renewing is not None:
            renewing.cancel()
            await asyncio.wait([renewing])
        if not self._lost:
            await self._store._commit(Commit((Expect(self.key, self.text),), (Delete(self.key),)))
        elif self._holder is not None and kind is asyncio.CancelledError:
            if self._holder.uncancel() <= self._cancelling:
                raise self._error() from error
        elif kind is None:
            raise self._error()

    async def _take(self) -> bool:
        """Try once; the lease and its new fence are one commit."""
        asked = time.monotonic()
        held, fence = await self._store._snapshot([self.key, self._fence_key])
        if held is not None:
            return False
        self.fence = 1 + (0 if fence is None else decode(fence, key=self._fence_key))
        self.text = encode({"holder": uuid.uuid4().hex, "fence": self.fence})
        outcome = await self._store._commit(
            Commit(
                (Expect(self.key, None), Expect(self._fence_key, fence)),
                (Put(self.key, self.text, self._ttl_ms), Put(self._fence_key, encode(self.fence))),
            )
        )
        self._deadline = asked + self._ttl_ms / 1000
        return not isinstance(outcome, Refused)

    async def _renew(self) -> None:
        pause = self._ttl_ms / 1000 / _RENEWALS
        while time.monotonic() < self._deadline:
            await asyncio.sleep(min(pause, max(0.0, self._deadline - time.monotonic())))
            asked = time.monotonic()
            try:
                outcome = await asyncio.wait_for(
                    self._store._commit(Commit((Expect(self.key, self.text),), (Touch(self.key, self._ttl_ms),))),
                    max(0.001, self._deadline - asked),
                )
            except (StorageError, TimeoutError):
                continue  # tried again until the time to live has passed
            if isinstance(outcome, Refused):
                break
            self._deadline = asked + self._ttl_ms / 1000
        self._lost = True
        if self._holder is not None:
            self._holder.cancel()

    def _error(self) -> LeaseLostError:
        return LeaseLostError(
            f"{self.key!r} is no longer held: it could not be renewed in time, or was taken away. "
            "Stop what it protects and take it anew.",
            key=self.key,
        )
