"""Workers of an outbox: who has a lane delivers its messages in order."""

from __future__ import annotations

import asyncio
import logging
import math
import random
import time
from collections import defaultdict
from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing, suppress
from functools import partial
from operator import itemgetter
from typing import Any, NamedTuple

from ..atomic.expiring import ExpiryCap
from ..concurrency.tasks import run_to_end
from ..driver.commit import Delete, Put, Write
from ..errors import LeaseLostError
from ..records.globs import escape
from ..records.keys import encode_cursor
from .looking import UNHEARD, Looks
from .outbox_entries import LANES, OutboxForm, Waiting
from .outbox_message import TROUBLE, Claim, Message
from .stored import Stored

log = logging.getLogger("ad_seller.storage")

BATCH = 100  #: messages of a lane that one claim delivers at most, so that other lanes have their turn
_DEATHS = 3  #: workers in a row that a message may have killed before it is set aside
_TROUBLE_PAUSE = 1.0  #: seconds after a look that the store did not answer


class Patience(NamedTuple):
    """How a worker behaves when something fails, in seconds.

    Attributes:
        lease_ms: milliseconds that one message may take.
        first: the pause after the first failure; it doubles with each.
        longest: the longest pause.
        horizon: how long after its putting a message that fails is set aside.
        idle: the longest pause between two looks that find nothing; None for what `Looks` takes.
    """

    lease_ms: int
    first: float
    longest: float
    horizon: float
    idle: float | None

    def pause(self, attempts: int) -> float:
        """Return the pause after so many failures."""
        return min(self.longest, self.first * 2.0 ** min(attempts - 1, 60))


class Worker:
    """One worker of an outbox, see `Outbox.work`."""

    def __init__(
        self,
        store: Stored,
        form: OutboxForm,
        patience: Patience,
        clock: Callable[[], float] = time.time,
        sleep: Callable[[float], Any] | None = None,
    ) -> None:
        """Look at nothing yet."""
        self._store = store
        self._form = form
        self._patience = patience
        self._clock = clock
        self._sleep = sleep
        self._prefix = form.prefix
        self._pattern = f"{escape(self._prefix)}*"
        self._caps = defaultdict[int, ExpiryCap](partial(ExpiryCap, store))
        self._is_empty = False  # whether no message waited at the last look
        self._next = math.inf  # seconds after which something may be to do that is not yet, as the last look saw it

    async def messages(self) -> AsyncGenerator[Message, None]:
        """Yield messages, one at a time, for as long as it is asked."""
        with Looks(self._store, self._form.prefix, self._sleep) as looks:
            while True:
                found, self._next = False, math.inf
                try:
                    async with aclosing(self._round()) as messages:
                        async for message in messages:
                            found = True
                            yield message
                except TROUBLE as error:
                    log.warning("The outbox %r is looked at again in a moment: %s", self._form.name, error)
                    await (self._sleep or asyncio.sleep)(_TROUBLE_PAUSE)
                else:
                    most = self._next if self._patience.idle is None else min(self._next, self._patience.idle)
                    await looks.rest(found=found, most=0.0 if found else most)

    async def _round(self) -> AsyncGenerator[Message, None]:
        """Yield what is due, each lane once, beginning with any of them."""
        async with aclosing(self._lanes()) as lanes:
            async for lane, first in lanes:
                if not (first or await self._deliverable(lane)):
                    continue
                claim = Claim(self._store, self._form, lane, self._patience.lease_ms)
                try:
                    if await claim.take(self._caps[lane]):
                        async with aclosing(self._of_lane(claim)) as messages:
                            async for message in messages:
                                yield message
                    else:
                        self._next = min(self._next, UNHEARD)  # nobody tells when another's claim ends
                finally:  # also of a claim whose answer nobody has waited for
                    if not claim.is_lost:
                        await run_to_end(claim.give_up())

    async def _lanes(self) -> AsyncGenerator[tuple[int, bool], None]:
        """Yield the lanes that have messages, beginning with any, so that workers do not meet.

        With each comes whether its first message is due, so that nobody has to look for one that is. Where none had
        a message the last time, one look from the first lane on tells whether there is none again.
        """
        was_empty, self._is_empty = self._is_empty, True
        start = 0 if was_empty else random.randrange(LANES)  # noqa: S311 - no secret
        for lane, high in ((start, LANES), (0, start)):
            more = True
            while more and lane < high:
                lane, due, more = await self._lane_from(lane)
                if lane < high:
                    self._is_empty = False
                    yield lane, due
                lane += 1

    async def _lane_from(self, lane: int) -> tuple[int, bool, bool]:
        """Return the next lane with a message (`LANES`: none), whether that is due, and whether there are more."""
        page, more = await self._scan(self._prefix, self._form.lane_prefix(lane), 1)
        if not page:
            return LANES, False, more
        [(place, record)] = page
        lane = _lane_in(place, self._prefix)
        waiting = Waiting.read(place.removeprefix(self._form.lane_prefix(lane)), record)
        return lane, waiting is not None and self._seconds_left(waiting) <= 0, more

    async def _deliverable(self, lane: int) -> bool:
        """Tell whether a lane has a message that is due; one that only waits is not claimed."""
        async with aclosing(self._due(lane)) as due:
            return await anext(due, None) is not None

    async def _due(self, lane: int) -> AsyncGenerator[tuple[str, Waiting], None]:
        """Yield what may be delivered now, with its place: no message whose key has one before it that waits."""
        prefix = self._form.lane_prefix(lane)
        held: set[str] = set()
        given, after = 0, prefix
        while given < BATCH:
            page, more = await self._scan(prefix, after, BATCH)
            for place, record in page:
                waiting = Waiting.read(place.removeprefix(prefix), record)
                if waiting is None or waiting.key in held:
                    continue
                left = self._seconds_left(waiting)
                if left <= 0:
                    given += 1
                    yield place, waiting
                    continue
                self._next = min(self._next, left)
                if waiting.key is not None:
                    held.add(waiting.key)
            if not more:
                return
            after = page[-1][0]

    def _seconds_left(self, waiting: Waiting) -> float:
        """Return when it may be delivered; a clock that was set back makes nobody wait longer than a pause."""
        left = waiting.due - self._clock()
        return 0.0 if left > self._patience.longest else left

    async def _of_lane(self, claim: Claim) -> AsyncGenerator[Message, None]:
        failed: set[str | None] = set()
        async with aclosing(self._due(claim.lane)) as due:
            async for place, waiting in due:
                if waiting.key is not None and waiting.key in failed:
                    continue
                if not await claim.is_fresh():
                    return
                if claim.follows_a_death or waiting.deaths:
                    if not await self._is_noted(claim, place, waiting):
                        continue
                    if not await claim.is_fresh():  # the answer was late; those of its key wait as it does
                        return
                message = Message(waiting, place, claim, self._after_failure)
                yield message
                if not message.is_settled:
                    with suppress(LeaseLostError):
                        await message.failed("the worker went on without acknowledging it")
                if not message.is_delivered:
                    failed.add(waiting.key)

    async def _scan(self, prefix: str, after: str, limit: int) -> tuple[list[tuple[str, Any]], bool]:
        """Return the next messages, and whether there are more; one that cannot be read counts, as None."""
        found: list[tuple[str, Any]] = []
        page = await self._store.scan(
            self._pattern if prefix is self._prefix else f"{escape(prefix)}*",
            limit=limit,
            cursor=encode_cursor(after),
            on_corrupt=lambda error: found.append((str(error.key), None)),
        )
        return sorted([*page.items, *found], key=itemgetter(0)), page.cursor is not None

    async def _is_noted(self, claim: Claim, place: str, waiting: Waiting) -> bool:
        """Count a worker as dead before it has a message that may kill it; tell whether it may still have it.

        It says nothing any more once it is killed. What it acknowledges, or gives back, forgets the count.
        """
        again = self._again(waiting, f"its worker died, or took longer than the lease, {waiting.deaths + 1} times")
        again = again._replace(deaths=waiting.deaths + 1)
        is_over = waiting.deaths >= _DEATHS and self._is_over(again)
        writes = self._aside(waiting, place) if is_over else [self._put(again, place)]
        with suppress(LeaseLostError):
            await claim.commit(*writes)
        return not is_over and not claim.is_lost

    def _after_failure(self, waiting: Waiting, place: str, error: str) -> list[Write]:
        """Return the writes that give a message back, or set it aside."""
        again = self._again(waiting, error)._replace(deaths=0)
        return self._aside(again, place) if self._is_over(again) else [self._put(again, place)]

    def _again(self, waiting: Waiting, error: str) -> Waiting:
        attempts = waiting.attempts + 1
        return waiting._replace(attempts=attempts, due=self._clock() + self._patience.pause(attempts), error=error)

    def _is_over(self, again: Waiting) -> bool:
        return again.due >= again.since + self._patience.horizon

    def _put(self, waiting: Waiting, place: str) -> Write:
        return Put(place, self._store._atomic_encode(waiting.record(), place))

    def _aside(self, waiting: Waiting, place: str) -> list[Write]:
        aside = self._form.failed_key(waiting.id)
        log.error("The message %s of the outbox %r is set aside: %s", waiting.id, self._form.name, waiting.error)
        record = {**waiting.record(), "due": 0, "set_aside_at": self._clock()}
        return [Delete(place), Put(aside, self._store._atomic_encode(record, aside))]


def _lane_in(key: str, prefix: str) -> int:
    """Return the lane of a message's key; what is no message is behind all lanes."""
    text = key.removeprefix(prefix)[:2]
    try:
        return int(text, 16)
    except ValueError:
        return LANES
