"""Workers of an outbox: who has a lane delivers its messages in order, and what it says later is refused.

The claim of a lane is an entry with a time to live. Each acknowledgement is one commit: it expects the claim,
removes the message and renews the claim. So a worker that hangs loses its lane by itself, and its late
acknowledgement writes nothing.
"""

from __future__ import annotations

import asyncio
import logging
import random
import time
import uuid
from collections.abc import AsyncGenerator, AsyncIterator, Callable
from contextlib import aclosing, suppress
from operator import itemgetter
from types import TracebackType
from typing import Any, NamedTuple, Protocol, Self

from ..driver.commit import Commit, Delete, Expect, Outcome, Put, Refused, Touch, Write
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
from ..records.globs import escape
from ..records.keys import encode_cursor
from ..records.pages import OnCorrupt, Page
from .outbox_entries import LANES, OutboxForm, Waiting

log = logging.getLogger("ad_seller.storage")

BATCH = 100  #: messages of a lane that one claim delivers at most, so that other lanes have their turn
_FIRST_PAUSE = 0.02  #: seconds between two looks after one that found something
_TROUBLE_PAUSE = 1.0  #: seconds after a look that the store did not answer
_LONGEST_ERROR = 2_000  #: characters of an error that are kept

_TROUBLE = (StorageConnectionError, StorageTimeoutError, UnknownOutcomeError, StoreUnavailableError)


class Patience(NamedTuple):
    """How a worker behaves when something fails, in seconds.

    Attributes:
        lease_ms: milliseconds that one message may take.
        first: the pause after the first failure; it doubles with each.
        longest: the longest pause.
        horizon: how long after its putting a message that fails is set aside.
        idle: the longest pause between two looks that find nothing.
    """

    lease_ms: int
    first: float
    longest: float
    horizon: float
    idle: float

    def pause(self, attempts: int) -> float:
        """Return the pause after so many failures."""
        return min(self.longest, self.first * 2.0 ** min(attempts - 1, 60))


class WorkedStore(Protocol):
    """What a worker needs of a backend."""

    async def scan(
        self,
        pattern: str = "*",
        *,
        limit: int | None = None,
        cursor: str | None = None,
        reverse: bool = False,
        on_corrupt: OnCorrupt = None,
    ) -> Page:
        """See `StorageBackend.scan`."""

    async def _atomic_commit(self, commit: Commit) -> Outcome:
        """See `StorageBackend`."""

    def _atomic_encode(self, value: Any, key: str) -> bytes:
        """See `StorageBackend`."""


class Claim:
    """One worker's claim of one lane.

    Attributes:
        lane: which.
        is_lost: whether it is known to have ended before its time.
    """

    def __init__(self, store: WorkedStore, form: OutboxForm, lane: int, lease_ms: int) -> None:
        """Claim nothing yet."""
        self.lane = lane
        self.is_lost = False
        self._store = store
        self._key = form.lane_key(lane)
        self._probe = f"{form.lane_prefix(lane)}-"  # stands for the messages of the lane; there is never an entry
        self._text = store._atomic_encode(uuid.uuid4().hex, self._key)
        self._lease_ms = lease_ms

    async def take(self) -> bool:
        """Claim the lane; return False if another worker has it.

        Raises:
            CrossStoreError: claim and messages live in different slots of a cluster, so that nothing could be
                acknowledged; nothing is delivered then.
        """
        put, probe = Put(self._key, self._text, self._lease_ms), Delete(self._probe)
        commit = Commit((Expect(self._key, None),), (put, probe))
        return not isinstance(await self._store._atomic_commit(commit), Refused)

    async def commit(self, *writes: Write) -> None:
        """Apply writes and renew the claim, if it still holds.

        Raises:
            LeaseLostError: it does not; nothing was written.
        """
        commit = Commit((Expect(self._key, self._text),), (*writes, Touch(self._key, self._lease_ms)))
        if isinstance(await self._store._atomic_commit(commit), Refused):
            self.is_lost = True
            raise LeaseLostError(
                "The message took longer than the worker's lease, and another worker may have it; nothing was "
                "written. It is delivered again with the same id. Let `lease=` be longer than a delivery takes.",
                key=self._key,
            )

    async def give_up(self) -> None:
        """Let others have the lane at once."""
        with suppress(StorageError):  # it ends by itself
            await self._store._atomic_commit(Commit((Expect(self._key, self._text),), (Delete(self._key),)))


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

    def __init__(self, waiting: Waiting, place: str, claim: Claim, worker: Worker) -> None:
        """Wait for what becomes of it."""
        self.id = waiting.id
        self.key = waiting.key
        self.value = waiting.value
        self.attempts = waiting.attempts
        self._waiting = waiting
        self._place = place
        self._claim = claim
        self._worker = worker
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
        await self._claim.commit(*self._worker.after_failure(self._waiting, self._place, _words(error)))

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
        except (LeaseLostError, *_TROUBLE) as trouble:
            log.warning("The message %s comes again: %s", self.id, trouble)
        return True


class Worker:
    """One worker of an outbox, see `Outbox.work`."""

    def __init__(
        self,
        store: WorkedStore,
        form: OutboxForm,
        patience: Patience,
        clock: Callable[[], float] = time.time,
        sleep: Callable[[float], Any] = asyncio.sleep,
    ) -> None:
        """Look at nothing yet."""
        self._store = store
        self._form = form
        self._patience = patience
        self._clock = clock
        self._sleep = sleep

    async def messages(self) -> AsyncGenerator[Message, None]:
        """Yield messages, one at a time, for as long as it is asked."""
        idle = 0
        while True:
            found, pause = False, 0.0
            try:
                async with aclosing(self._round()) as messages:
                    async for message in messages:
                        found = True
                        yield message
            except _TROUBLE as error:
                log.warning("The outbox %r is looked at again in a moment: %s", self._form.name, error)
                pause = _TROUBLE_PAUSE
            idle = 0 if found else min(idle + 1, 20)
            await self._sleep(max(pause, min(self._patience.idle, _FIRST_PAUSE * 2**idle) if idle else 0.0))

    async def _round(self) -> AsyncGenerator[Message, None]:
        """Yield what is due, each lane once, beginning with any of them."""
        async for lane in self._lanes():
            if not await self._deliverable(lane):
                continue
            claim = Claim(self._store, self._form, lane, self._patience.lease_ms)
            if not await claim.take():
                continue
            try:
                async with aclosing(self._of_lane(claim)) as messages:
                    async for message in messages:
                        yield message
            finally:
                await claim.give_up()

    async def _lanes(self) -> AsyncIterator[int]:
        """Yield the lanes that have messages, beginning with any, so that workers do not meet."""
        start = random.randrange(LANES)  # noqa: S311 - no secret
        for lane, high in ((start, LANES), (0, start)):
            while lane < high:
                page = await self._scan(self._form.prefix, self._form.lane_prefix(lane), 1)
                lane = _lane_in(page[0][0], self._form.prefix) if page else LANES
                if lane < high:
                    yield lane
                lane += 1

    async def _deliverable(self, lane: int) -> bool:
        """Tell whether a lane has a message that is due; one that only waits is not claimed."""
        async for _ in self._due(lane):
            return True
        return False

    async def _due(self, lane: int) -> AsyncIterator[tuple[str, Waiting]]:
        """Yield what may be delivered now, with its place: no message whose key has one before it that waits."""
        prefix = self._form.lane_prefix(lane)
        held: set[str] = set()
        given, after = 0, prefix
        while given < BATCH:
            page = await self._scan(prefix, after, BATCH)
            for place, record in page:
                waiting = Waiting.read(place.removeprefix(prefix), record)
                if waiting is None or waiting.key in held:
                    continue
                if self._is_due(waiting):
                    given += 1
                    yield place, waiting
                elif waiting.key is not None:
                    held.add(waiting.key)
            if len(page) < BATCH:
                return
            after = page[-1][0]

    def _is_due(self, waiting: Waiting) -> bool:
        """Tell whether it may be delivered; a clock that was set back makes nobody wait longer than a pause."""
        left = waiting.due - self._clock()
        return left <= 0 or left > self._patience.longest

    async def _of_lane(self, claim: Claim) -> AsyncGenerator[Message, None]:
        failed: set[str | None] = set()
        async for place, waiting in self._due(claim.lane):
            if waiting.key is not None and waiting.key in failed:
                continue
            message = Message(waiting, place, claim, self)
            yield message
            if not message.is_settled:
                with suppress(LeaseLostError):
                    await message.failed("the worker went on without acknowledging it")
            if claim.is_lost:
                return
            if not message.is_delivered:
                failed.add(waiting.key)

    async def _scan(self, prefix: str, after: str, limit: int) -> list[tuple[str, Any]]:
        """Return the next messages; one that cannot be read counts, as None."""
        found: list[tuple[str, Any]] = []
        page = await self._store.scan(
            f"{escape(prefix)}*",
            limit=limit,
            cursor=encode_cursor(after),
            on_corrupt=lambda error: found.append((str(error.key), None)),
        )
        return sorted([*page.items, *found], key=itemgetter(0))

    def after_failure(self, waiting: Waiting, place: str, error: str) -> list[Write]:
        """Return the writes that give a message back, or set it aside."""
        now = self._clock()
        attempts = waiting.attempts + 1
        again = waiting._replace(attempts=attempts, due=now + self._patience.pause(attempts), error=error)
        if again.due < waiting.since + self._patience.horizon:
            return [Put(place, self._store._atomic_encode(again.record(), place))]
        aside = self._form.failed_key(waiting.id)
        log.error("The message %s of the outbox %r is set aside: %s", waiting.id, self._form.name, error)
        record = {**again.record(), "due": 0, "set_aside_at": now}
        return [Delete(place), Put(aside, self._store._atomic_encode(record, aside))]


def _lane_in(key: str, prefix: str) -> int:
    """Return the lane of a message's key; what is no message is behind all lanes."""
    text = key.removeprefix(prefix)[:2]
    try:
        return int(text, 16)
    except ValueError:
        return LANES


def _words(error: object) -> str:
    """Return what is kept of a failure: no password, and not too much."""
    if isinstance(error, BaseException):
        error = f"{type(error).__name__}: {error}"
    return redact(str(error or "no reason was given"))[:_LONGEST_ERROR]
