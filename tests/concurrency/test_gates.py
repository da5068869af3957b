"""A lock under which something is opened: who hears of whose failure."""

from __future__ import annotations

import asyncio

import pytest

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


async def test_who_waited_hears_of_the_failure() -> None:
    opening = Opening(OSError("gone"), OSError("again"))
    answers = await at_once(opening, Gate())
    assert [str(answer) for answer in answers] == ["gone"] * 4
    assert len(set(map(id, answers))) == 4, "each an error of its own"
    assert opening.attempts == 1


async def test_who_comes_later_tries_anew() -> None:
    opening, gate = Opening(OSError("gone"), OSError("again")), Gate()
    await at_once(opening, gate)
    assert [str(answer) for answer in await at_once(opening, gate)] == ["again"] * 4
    assert await at_once(opening, gate) == [3, 4, 5, 6]


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
