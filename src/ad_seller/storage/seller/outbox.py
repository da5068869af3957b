"""Outboxes: messages that are put in the commit of what they tell of, and delivered afterwards by any worker.

At least once, always with the same id, never by two workers at a time, those of one key in the order of their ids.
"""

from __future__ import annotations

import time
from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing
from typing import TYPE_CHECKING, Any

from ..driver.commit import Commit, Put
from ..errors import InvalidArgumentError
from ..records.expiry import check_ttl
from ..records.globs import escape
from ..records.pages import OnCorrupt, Page
from .outbox_entries import OutboxForm, Waiting
from .outbox_message import Message
from .outbox_work import Patience, Worker
from .stored import Stored

if TYPE_CHECKING:
    from .transaction import Transaction


class Outbox:
    """An outbox of a backend, see `StorageBackend.outbox`; it holds nothing and may be made anew at each use."""

    def __init__(self, store: Stored, form: OutboxForm, clock: Callable[[], float] = time.time) -> None:
        """Keep what `StorageBackend.outbox` has checked; ``clock`` returns seconds since 1970."""
        self._store = store
        self._form = form
        self._clock = clock

    @property
    def name(self) -> str:
        """The name of the outbox."""
        return self._form.name

    async def put(self, message: Any, key: str | None = None) -> str:
        """Store a message in a commit of its own and return its id; see `TransactionOutbox`."""
        waiting = Waiting.new(message, key)
        place = self._form.message_key(waiting.id, waiting.key)
        put = Put(place, self._store._atomic_encode(waiting.record(), place))
        await self._store._atomic_commit(Commit((), (put,)))
        return waiting.id

    async def work(
        self,
        *,
        lease: float = 30.0,
        first_pause: float = 1.0,
        longest_pause: float = 600.0,
        horizon: float = 86_400.0,
        idle: float | None = None,
    ) -> AsyncGenerator[Message, None]:
        """Yield messages to deliver, one at a time, for as long as it is asked; in any number of processes.

        ``async for message in outbox.work(): async with message: await send(message.value, id=message.id)``. A
        message that was neither acknowledged nor given back when the next one is asked for counts as failed. While
        the store does not answer, it waits and goes on.

        Args:
            lease: seconds that a delivery may take. A worker that takes longer loses its lane; what it acknowledges
                then is refused, and the message comes again.
            first_pause: seconds after the first failure of a message; they double with each.
            longest_pause: the longest of these pauses, in seconds.
            horizon: seconds after its putting from which on a message that fails is set aside.
            idle: seconds between two looks when there is nothing to do, at most. None: 5 where each message that is
                put wakes the workers, else 1.

        Raises:
            InvalidTTLError: a time is not positive.
            NotConnectedError: the backend was disconnected.
        """
        times = [check_ttl(one) for one in (lease, first_pause, longest_pause, horizon)]
        if None in times:
            raise InvalidArgumentError("Each time of a worker but idle= is a number of seconds, not None")
        lease_ms, first, longest, set_aside = (one or 0 for one in times)
        idle_ms = check_ttl(idle)
        patience = Patience(
            lease_ms,
            first / 1000,
            longest / 1000,
            set_aside / 1000,
            None if idle_ms is None else idle_ms / 1000,
        )
        async with aclosing(Worker(self._store, self._form, patience, self._clock).messages()) as messages:
            async for message in messages:
                yield message

    # --- for operators ---------------------------------------------------------------------------------

    async def waiting(self) -> int:
        """Return how many messages wait, those that are being delivered included."""
        return await self._store.count(f"{escape(self._form.prefix)}*")

    async def set_aside(
        self, *, limit: int | None = None, cursor: str | None = None, on_corrupt: OnCorrupt = None
    ) -> Page:
        """Return a page of the messages that were set aside, as pairs of id and record, the oldest first.

        Args:
            limit: at most so many; None for all.
            cursor: where the page before ended; None for the start.
            on_corrupt: called with the error of each that cannot be decoded, which is then left out.
        """
        prefix = self._form.failed_prefix
        page = await self._store.scan(f"{escape(prefix)}*", limit=limit, cursor=cursor, on_corrupt=on_corrupt)
        return Page([(key.removeprefix(prefix), record) for key, record in page.items], page.cursor)

    async def retry(self, message_id: str) -> bool:
        """Have a message that was set aside delivered again, under its id; tell whether there was one."""
        aside = self._form.failed_key(message_id)

        async def move(tx: Transaction) -> bool:
            record = await tx.get(aside)
            found = None if record is None else Waiting.read(message_id, record)
            if found is None:
                return False
            again = found._replace(attempts=0, due=0.0, since=self._clock(), deaths=0)
            await tx.set(self._form.message_key(message_id, found.key), again.record())
            await tx.delete(aside)
            return True

        return bool(await self._store.transact(move))

    async def drop(self, message_id: str) -> bool:
        """Remove a message that was set aside, for good; tell whether there was one."""
        return await self._store.delete(self._form.failed_key(message_id))
