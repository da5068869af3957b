"""A lock under which something is opened: who hears of whose failure."""

from __future__ import annotations

import asyncio
import gc
import weakref
from contextlib import suppress

import pytest

from ad_seller.storage import NotConnectedError
from ad_seller.storage.concurrency.gates import Gate


class Opening:
    """Attempts that take two turns of the event loop, and fail as long as there are failures."""

    def __init__(self, *failures: Exception) -> None:
        self.failures = list(failures)
        self.attempts = 0

    async def attempt(self) -> int:
        self.attempts += 1
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        if self.failures:
            raise self.failures.pop(0)
        return self.attempts


async def at_once(opening: Opening, gate: Gate, callers: int = 4) -> list[int | BaseException]:
    return await asyncio.gather(*(gate.opening(opening.attempt) for _ in range(callers)), return_exceptions=True)


async def test_who_waited_shares_one_further_attempt() -> None:
    """The first one's began before they came, and the time for which it waits for the store was its own."""
    opening = Opening(*map(OSError, ("gone", "again", "never")))
    answers = await at_once(opening, Gate())
    assert [str(answer) for answer in answers] == ["gone", "again", "again", "again"]
    assert len(set(map(id, answers))) == 4, "each an error of its own"
    assert opening.attempts == 2


async def test_who_comes_later_tries_anew() -> None:
    opening, gate = Opening(*map(OSError, "abc")), Gate()
    await at_once(opening, gate)
    assert [str(answer) for answer in await at_once(opening, gate, 1)] == ["c"]
    assert await at_once(opening, gate) == [4, 5, 6, 7]


async def test_a_cancelled_attempt_is_nobody_elses() -> None:
    opening, gate = Opening(), Gate()
    first = asyncio.create_task(gate.opening(opening.attempt))
    others = asyncio.create_task(at_once(opening, gate, 2))
    await asyncio.sleep(0)
    first.cancel()
    assert await others == [2, 3]
    with pytest.raises(asyncio.CancelledError):
        await first
    assert not gate.locked()


async def test_what_is_not_about_the_store_is_heard_by_one_caller() -> None:
    """A session that was opened while somebody disconnected is nothing to one who connects then."""
    gate, asked = Gate(), asyncio.Event()

    async def disconnected() -> None:
        await asked.wait()
        raise NotConnectedError("it was disconnected while this event loop connected")

    async def connected() -> bool:
        return True

    first = asyncio.ensure_future(gate.opening(disconnected))
    await asyncio.sleep(0)
    second = asyncio.ensure_future(gate.opening(connected))
    await asyncio.sleep(0)
    asked.set()
    assert await second
    with pytest.raises(NotConnectedError):
        await first


async def test_the_gate_keeps_nothing_of_its_callers() -> None:
    class Held:
        """What a caller has in hand."""

    gate = Gate()

    async def call() -> weakref.ref[Held]:
        held = Held()

        async def attempt() -> None:
            raise ConnectionError

        with suppress(ConnectionError):
            await gate.opening(attempt)
        return weakref.ref(held)

    held = await call()
    gc.collect()
    assert held() is None
