"""The outbox of a history: messages that clients put and deliver, and what must hold of all that they wrote down.

Each delivery is an operation with a start and an end, each acknowledgement another. A delivery without an end is
that of a process that was killed.
"""

from __future__ import annotations

import asyncio
import itertools
import json
import random
from collections import Counter, defaultdict
from collections.abc import AsyncIterator, Callable, Iterable, Iterator
from contextlib import aclosing, asynccontextmanager, suppress
from dataclasses import dataclass, field

from ad_seller.storage import (
    LeaseLostError,
    Message,
    StorageBackend,
    StorageError,
    Transaction,
    UnknownOutcomeError,
)

from .model import Action, Operation
from .recorder import Recorder

LEASE = 0.6  #: seconds
_KEYS = 3  #: of messages
_HANGING = 0.03  #: the share of deliveries that take longer than a lease
_PATIENCE = 20.0  #: seconds without any delivery after which what still waits is left
_TERMS = {"lease": LEASE, "first_pause": 0.02, "longest_pause": 0.1, "idle": 0.05}


@dataclass
class Courier:
    """One client's part in the outbox.

    Args:
        store: where it is.
        outbox: its name.
        recorder: what writes down what happens.
        name: stands in everything that is put.
        seed: where choices come from.
    """

    store: StorageBackend
    outbox: str
    recorder: Recorder
    name: str
    seed: str
    _chance: random.Random = field(init=False)
    _in_hand: bool = False
    _given: int = 0

    def __post_init__(self) -> None:
        self._chance = random.Random(f"{self.seed} messages")

    async def work(self, is_over: Callable[[], bool]) -> None:
        """Put and deliver until it is time to stop."""
        async with self._delivering():
            for number in itertools.count():
                if is_over():
                    return
                await self._put(f"k{self._chance.randrange(_KEYS)}", f"{self.name}:{number}")
                await asyncio.sleep(self._chance.random() * 0.05)

    async def deliver_all(self) -> None:
        """Deliver until nothing waits any more, for as long as something is delivered."""
        with suppress(TimeoutError):
            async with asyncio.timeout(_PATIENCE) as limit, self._delivering():
                given = self._given
                while await self._waits():
                    await asyncio.sleep(0.05)
                    if given != self._given:
                        given = self._given
                        limit.reschedule(asyncio.get_running_loop().time() + _PATIENCE)

    @asynccontextmanager
    async def _delivering(self) -> AsyncIterator[None]:
        """Deliver while the block runs, and then what is in hand."""
        async with asyncio.TaskGroup() as group:
            task = group.create_task(self._deliver())
            yield
            while self._in_hand:  # noqa: ASYNC110 - nothing tells
                await asyncio.sleep(0.01)
            task.cancel()

    async def _waits(self) -> bool:
        try:
            return await self.store.outbox(self.outbox).waiting() > 0
        except StorageError:
            return True

    async def _put(self, key: str, value: str) -> None:
        async def work(tx: Transaction) -> str:
            return await tx.outbox(self.outbox).put(value, key)

        number = self.recorder.begin(Action("put", (key,), ((value,),)))
        try:
            self.recorder.end(number, "ok", await self.store.transact(work))
        except UnknownOutcomeError as error:
            self.recorder.end(number, "unknown", str(error))
        except StorageError as error:
            self.recorder.end(number, "failed", f"{type(error).__name__}: {error}")

    async def _deliver(self) -> None:
        async with aclosing(self.store.outbox(self.outbox).work(**_TERMS)) as messages:
            async for message in messages:
                self._in_hand = True
                self._given += 1
                if await self._delivered(message):
                    await self._settled(message)
                self._in_hand = False

    async def _delivered(self, message: Message) -> bool:
        """Have it in hand for a while, and tell whether it arrived."""
        key, value = message.key or "", message.value
        value = value if isinstance(value, str) else json.dumps(value)
        number = self.recorder.begin(Action("deliver", (key,), ((message.id,), (value,))))
        hangs = self._chance.random() < _HANGING
        seconds = LEASE * 2 if hangs else self._chance.random() * 0.01
        try:
            await asyncio.sleep(seconds)
        finally:
            self.recorder.end(number, "ok")
        return self._chance.random() < 0.9

    async def _settled(self, message: Message) -> None:
        number = self.recorder.begin(Action("acknowledge", (message.key or "",), ((message.id,),)))
        try:
            await message.done()
            self.recorder.end(number, "ok")
        except (LeaseLostError, asyncio.CancelledError) as error:
            self.recorder.end(number, "failed" if isinstance(error, LeaseLostError) else "unknown")
            if isinstance(error, asyncio.CancelledError):
                raise
        except StorageError as error:
            self.recorder.end(number, "unknown", f"{type(error).__name__}: {error}")


@dataclass(frozen=True)
class _Delivery:
    id: str
    key: str
    value: str
    start: int
    end: int | None


def mistakes(operations: Iterable[Operation], history: Iterable[Operation]) -> list[str]:
    """Return what must not be in what all clients wrote down about an outbox.

    Args:
        operations: what was put, delivered and acknowledged.
        history: all else; each booking in it that was answered has a message.
    """
    by_name: dict[str, list[Operation]] = defaultdict(list)
    for one in sorted(operations, key=lambda one: one.start):
        by_name[one.action.name].append(one)
    deliveries = [_delivery(one) for one in by_name["deliver"]]
    came = {one.value for one in deliveries}
    bookings = [one for one in history if one.certain and one.action.name == "booking"]
    return [
        *(f"nobody was told of {one}" for one in bookings if _told(one) not in came),
        *_lost(by_name["put"], deliveries),
        *_acknowledged(by_name["acknowledge"], deliveries),
        *_together(deliveries),
        *_out_of_order(by_name["put"], deliveries),
    ]


def _delivery(one: Operation) -> _Delivery:
    (message_id,), (value,) = one.action.arguments  # type: ignore[misc]
    return _Delivery(str(message_id), one.action.keys[0], str(value), one.start, one.end)


def _told(booking: Operation) -> str:
    return json.dumps([booking.action.keys[0], *booking.result])


def _named(one: Operation) -> str:
    [(value,)] = one.action.arguments  # type: ignore[misc]
    return str(value)


def _lost(puts: list[Operation], deliveries: list[_Delivery]) -> Iterator[str]:
    """What was put came at least once, under one id; what was not put did not come."""
    ids: dict[str, set[str]] = defaultdict(set)
    for one in deliveries:
        ids[one.value].add(one.id)
    known = {_named(put): put for put in puts}
    for value, put in known.items():
        if put.certain and not ids[value]:
            yield f"the message {value} was lost: {put}"
        if put.certain and ids[value] - {put.result}:
            yield f"the message {value} has the id {put.result} and came as {ids[value]}"
    for value, found in ids.items():
        if len(found) > 1:
            yield f"the message {value} came with several ids: {found}"
        if value not in known and not value.startswith("["):
            yield f"the message {value} was not put"


def _acknowledged(acknowledgements: list[Operation], deliveries: list[_Delivery]) -> Iterator[str]:
    """A message is acknowledged once, and does not come afterwards."""
    certain = [one for one in acknowledgements if one.certain]
    for value, count in Counter(map(_named, certain)).items():
        if count > 1:
            yield f"the message {value} was acknowledged {count} times"
    end = {_named(one): one.end or 0 for one in certain}
    for one in deliveries:
        if one.start > end.get(one.id, one.start):
            yield f"{one} began after it was acknowledged"


def _together(deliveries: list[_Delivery]) -> Iterator[str]:
    """Nobody has a message that another one has, or one of the same key, within half of a lease."""
    by_key: dict[str, list[_Delivery]] = defaultdict(list)
    for one in deliveries:
        by_key[one.key].append(one)
    for of_key in by_key.values():
        for one, other in itertools.pairwise(of_key):
            is_over = one.end is not None and one.end <= other.start
            if not is_over and other.start - one.start < LEASE * 1e9 / 2:
                yield f"{one} and {other} at the same time"


def _out_of_order(puts: list[Operation], deliveries: list[_Delivery]) -> Iterator[str]:
    """Of two messages of one key, of which one was put after the other, the later one comes last."""
    put_at = {_named(put): (put.start, put.end) for put in puts if put.certain}
    newest: dict[str, _Delivery] = {}
    for one in deliveries:
        before = newest.get(one.key)
        if one.value not in put_at:
            continue
        if before is not None and (put_at[one.value][1] or 0) < put_at[before.value][0]:
            yield f"{one} after {before}, which was put later"
        elif before is None or put_at[before.value][0] < put_at[one.value][0]:
            newest[one.key] = one
