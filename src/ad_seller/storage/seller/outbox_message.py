"""A message in the hands of a worker, and the claim by which the worker has it.

The claim of a lane is an entry with a time to live. Each acknowledgement is one commit: it expects the claim,
removes the message and renews the claim. So a worker that hangs loses its lane by itself, and its late
acknowledgement writes nothing. Beside the claim stands a trace that does not expire, and goes when the lane is
given up: who finds it knows that the worker before died, or hung, with one of the messages.
"""

from __future__ import annotations

import logging
import math
import uuid
from collections.abc import Callable
from contextlib import suppress
from types import TracebackType
from typing import Any, Self

from ..atomic.expiring import ExpiryCap
from ..concurrency.elapsed import elapsed
from ..driver.commit import Commit, Delete, Expect, Put, Refused, Touch, Write
from ..errors import (
    LeaseLostError,
    StorageConnectionError,
    StorageError,
    StorageTimeoutError,
    StoreUnavailableError,
    TransactionError,
    UnknownOutcomeError,
    redact,
    shown,
)
from .outbox_entries import OutboxForm, Waiting
from .stored import Stored

log = logging.getLogger("ad_seller.storage")

#: What passes by itself: the worker looks again later.
TROUBLE = (StorageConnectionError, StorageTimeoutError, UnknownOutcomeError, StoreUnavailableError)

_OLD, _TOO_OLD = 1 / 8, 1 / 2  #: of a lease: when it is renewed, and when nothing is delivered with it

_LONGEST_ERROR = 2_000  #: characters of an error that are kept

#: Returns the writes that give a message back after a failure: the message, where it stands, and the error.
GiveBack = Callable[[Waiting, str, str], list[Write]]


class Claim:
    """One worker's claim of one lane.

    Attributes:
        lane: which.
        is_lost: whether it is known that another worker may have the lane.
        follows_a_death: whether the worker before did not give the lane up.
    """

    def __init__(self, store: Stored, form: OutboxForm, lane: int, lease_ms: int) -> None:
        """Claim nothing yet."""
        self.lane = lane
        self.is_lost = False
        self.follows_a_death = False
        self._store = store
        self._key = form.lane_key(lane)
        self._trace = form.trace_key(lane)
        self._probe = f"{form.lane_prefix(lane)}-"  # stands for the messages of the lane; there is never an entry
        self._text = store._atomic_encode({"claim": uuid.uuid4().hex, "ttl_ms": lease_ms}, self._key)
        self._lease_ms = lease_ms
        self._renewed = -math.inf

    async def take(self, cap: ExpiryCap) -> bool:
        """Claim the lane; return False if another worker has it.

        Args:
            cap: sees to it that the claim of another worker ends within its own lease, whatever a clock has done.

        Raises:
            CrossStoreError: claim and messages live in different slots of a cluster, so that nothing could be
                acknowledged; nothing is delivered then.
        """
        there = await self._store.get_many([self._key, self._trace])
        if self._key in there:
            self.is_lost = True
            await self._cut_short(there[self._key], cap)
            return False
        self.follows_a_death = self._trace in there
        writes = (Put(self._key, self._text, self._lease_ms), Put(self._trace, self._text), Delete(self._probe))
        await self._commit(Commit((Expect(self._key, None),), writes))
        return not self.is_lost

    async def _cut_short(self, found: Any, cap: ExpiryCap) -> None:
        if isinstance(found, dict) and isinstance(found.get("ttl_ms"), int):
            await cap.look(self._key, self._store._atomic_encode(found, self._key), found["ttl_ms"])

    async def commit(self, *writes: Write) -> None:
        """Apply writes and renew the claim, if it still holds.

        Raises:
            LeaseLostError: it does not; nothing was written.
        """
        await self._commit(Commit((Expect(self._key, self._text),), (*writes, Touch(self._key, self._lease_ms))))
        if self.is_lost:
            raise LeaseLostError(
                "The message took longer than the worker's lease, and another worker may have it; nothing was "
                "written. It is delivered again with the same id. Let `lease=` be longer than a delivery takes.",
                key=self._key,
            )

    async def is_fresh(self) -> bool:
        """Tell whether a delivery that begins now has most of the lease; renew it if much of it has passed.

        A claim is old where the store was slow to answer, or has not answered an acknowledgement.
        """
        if self._age > _OLD and not self.is_lost:
            with suppress(LeaseLostError):
                await self.commit()
        return not self.is_lost and self._age <= _TOO_OLD

    @property
    def _age(self) -> float:
        """Which part of the lease may have passed."""
        return (elapsed() - self._renewed) * 1000 / self._lease_ms

    async def _commit(self, commit: Commit) -> None:
        sent = elapsed()
        self.is_lost = isinstance(await self._store._atomic_commit(commit), Refused)
        self._renewed = sent

    async def give_up(self) -> None:
        """Let others have the lane at once, if it may be ours."""
        if self.is_lost:
            return
        with suppress(StorageError):  # it ends by itself
            ends = (Delete(self._key), Delete(self._trace))
            await self._store._atomic_commit(Commit((Expect(self._key, self._text),), ends))


class Message:
    """A message that one worker delivers: ``async with message: await send(message.value, id=message.id)``.

    The end of the block acknowledges it; an exception has it delivered again later. `done` and `failed` do the same
    without a block.

    Attributes:
        id: the same at each delivery, for who receives it.
        key: its key, or None.
        value: what was put.
        attempts: how often its delivery has failed before.
        is_settled: whether it was acknowledged or given back.
        is_delivered: whether the store has its acknowledgement.
    """

    def __init__(self, waiting: Waiting, place: str, claim: Claim, give_back: GiveBack) -> None:
        """Wait for what becomes of it."""
        self.id = waiting.id
        self.key = waiting.key
        self.value = waiting.value
        self.attempts = waiting.attempts
        self._waiting = waiting
        self._place = place
        self._claim = claim
        self._give_back = give_back
        self.is_settled = False
        self.is_delivered = False

    async def done(self) -> None:
        """Acknowledge it: it is delivered and does not come again.

        Raises:
            LeaseLostError: the lease ended before; it comes again, with the same id.
            TransactionError: it was acknowledged, or given back, already.
        """
        self._settle()
        await self._claim.commit(Delete(self._place))
        self.is_delivered = True

    async def failed(self, error: object = None) -> None:
        """Have it delivered again after a pause, or set it aside if it is older than the horizon.

        Args:
            error: what is kept of the failure, as text.

        Raises:
            LeaseLostError: the lease ended before.
            TransactionError: it was acknowledged, or given back, already.
        """
        self._settle()
        await self._claim.commit(*self._give_back(self._waiting, self._place, _words(error)))

    def _settle(self) -> None:
        if self.is_settled:
            raise TransactionError(f"The message {self.id!r} was acknowledged, or given back, already")
        self.is_settled = True

    async def __aenter__(self) -> Self:
        """Begin to deliver it."""
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> bool:
        """Acknowledge it, or have it delivered again; what goes wrong ends here, in the log, and it comes again."""
        if self.is_settled or not (error is None or isinstance(error, Exception)):
            return False
        try:
            if error is None:
                await self.done()
            else:
                log.warning("The message %s was not delivered: %s", self.id, redact(shown(error, 300)))
                await self.failed(error)
        except (LeaseLostError, *TROUBLE) as trouble:
            log.warning("The message %s comes again: %s", self.id, trouble)
        return True


def _words(error: object) -> str:
    """Return what is kept of a failure: no password, and not too much."""
    if isinstance(error, BaseException):
        error = f"{type(error).__name__}: {error}"
    return redact(str(error or "no reason was given"))[:_LONGEST_ERROR]
