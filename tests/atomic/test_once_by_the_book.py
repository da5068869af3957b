"""`run_once` by the rules of AdCP: told to come back, taken over in time, expired rather than run again, marked."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from ad_seller.storage import (
    IdempotencyConflictError,
    IdempotencyExpiredError,
    InFlightError,
    InvalidArgumentError,
    InvalidKeyError,
    StorageBackend,
    Transaction,
)
from ad_seller.storage.testing.conformance.rows import rows

from .conftest import Engine
from .support import Address

RECORD = "idempotency:book:k"
USED = "idempotency_used:book:k"
FENCE = "idempotency_fence:book:k"


async def quick(tx: Transaction) -> str:
    await tx.set("by", "quick")
    return "quick"


async def fails(tx: Transaction) -> str:
    raise ZeroDivisionError


class Slow:
    """Work that goes on when it is told to."""

    def __init__(self) -> None:
        self.begun, self.go_on = asyncio.Event(), asyncio.Event()
        self.runs = 0

    async def __call__(self, tx: Transaction) -> str:
        self.runs += 1
        await tx.set("by", "slow")
        self.begun.set()
        await self.go_on.wait()
        return "slow"


async def book(backend: StorageBackend, work: Any, **options: Any) -> Any:
    return await backend.run_once("book", "k", {"quote": 1}, work, **options)


async def test_a_repeat_is_told_to_come_back(engine: Engine, address: Address) -> None:
    """From the same process and from another one; another request is a conflict also meanwhile."""
    slow = Slow()
    async with address.open() as first, address.open() as second:
        running = asyncio.create_task(book(first, slow))
        await slow.begun.wait()
        for backend in (first, second):
            with pytest.raises(InFlightError, match=RECORD) as told:
                await book(backend, quick, in_flight="raise")
            assert 1 <= told.value.retry_after <= 10
            with pytest.raises(IdempotencyConflictError):
                await backend.run_once("book", "k", {"quote": 2}, quick, in_flight="raise")
        slow.go_on.set()
        assert await running == await book(second, fails, in_flight="raise") == "slow"


async def test_one_that_hangs_is_replaced_and_commits_nothing(engine: Engine, address: Address) -> None:
    """Also within its own process, and whatever became of those in its place."""
    async with address.open() as first, address.open() as second:
        for other in (first, second):
            slow = Slow()
            hangs = asyncio.create_task(book(first, slow, max_seconds=0.1))
            await slow.begun.wait()
            async with asyncio.timeout(20):
                assert await book(other, quick, max_seconds=0.1) == "quick"
            slow.go_on.set()
            assert await hangs == "quick", "who was replaced gives the answer of the other one"
            assert await first.get("by") == "quick"
            assert await first.keys("idempotency_fence:*") == []
            await first.delete(RECORD)


async def test_one_that_was_replaced_by_a_failure_runs_anew(engine: Engine, address: Address) -> None:
    """The one in its place has left nothing but the number, and that refuses what was made before it."""
    slow = Slow()
    runs: list[int] = []

    async def counted(tx: Transaction) -> str:
        runs.append(1)
        await tx.set("run", len(runs))
        return await slow(tx)

    async with address.open() as first, address.open() as second:
        hangs = asyncio.create_task(book(first, counted, max_seconds=0.1))
        await slow.begun.wait()
        with pytest.raises(ZeroDivisionError):
            await book(second, fails, max_seconds=60)
        slow.go_on.set()
        assert await hangs == "slow"
        assert (len(runs), await first.get("run")) == (2, 2)


async def test_one_that_took_long_and_was_not_replaced_commits(backend: StorageBackend) -> None:
    slow = Slow()
    running = asyncio.create_task(book(backend, slow, max_seconds=0.05))
    await slow.begun.wait()
    while await backend.exists(RECORD):  # noqa: ASYNC110 - nothing tells
        await asyncio.sleep(0.01)
    slow.go_on.set()
    assert (await running, await backend.get("by")) == ("slow", "slow")


async def test_a_result_that_is_remembered_shorter_than_the_work_takes(engine: Engine, address: Address) -> None:
    """What refuses whoever was replaced lasts as long as the work, and tells each claim from all before it."""
    async with address.open() as first, address.open() as second:
        slow = Slow()
        hangs = asyncio.create_task(book(first, slow, ttl=0.05, max_seconds=60))
        await slow.begun.wait()
        assert (await first.ttl(FENCE) or 0) > 3_600
        await asyncio.sleep(0.1)
        slow.go_on.set()
        assert (await hangs, slow.runs) == ("slow", 1)
        await asyncio.sleep(0.1)

        slow = Slow()
        hangs = asyncio.create_task(book(first, slow, ttl=0.05, max_seconds=0.1))
        await slow.begun.wait()
        async with asyncio.timeout(20):
            assert await book(second, quick, ttl=0.05, max_seconds=60) == "quick"
        await asyncio.sleep(0.1)  # its result is forgotten, and the number went with it
        with pytest.raises(ZeroDivisionError):
            await book(second, fails, ttl=0.05, max_seconds=60)
        slow.go_on.set()
        assert (await hangs, slow.runs) == ("slow", 2), "what was made before the others is not committed"


async def test_an_expired_key_is_not_run_again(backend: StorageBackend) -> None:
    terms: dict[str, Any] = {"ttl": 50, "remember_expired": timedelta(seconds=50)}
    assert await book(backend, quick, **terms) == "quick"
    assert await book(backend, fails, **terms) == "quick"
    assert 0 < (await backend.ttl(RECORD) or 0) <= 50 < (await backend.ttl(USED) or 0) <= 100
    await backend.expire(RECORD, 0.01)
    await asyncio.sleep(0.03)
    for request in ({"quote": 1}, {"quote": 2}):
        with pytest.raises(IdempotencyExpiredError, match="idempotency:book:k"):
            await backend.run_once("book", "k", request, fails, **terms)
    await backend.expire(USED, 0.01)
    await asyncio.sleep(0.03)
    assert await book(backend, quick, **terms) == "quick"


async def test_what_fails_is_not_remembered_as_used(backend: StorageBackend) -> None:
    terms: dict[str, Any] = {"remember_expired": 60, "max_seconds": 60}
    with pytest.raises(ZeroDivisionError):
        await book(backend, fails, **terms)
    assert await backend.keys("idempotency*") == ["idempotency_fence:book:k"]
    assert await book(backend, quick, **terms) == "quick"


async def test_the_answer_is_marked_and_dated(backend: StorageBackend) -> None:
    first = await backend.run_once_detailed("book", "k", 1, quick)
    assert (first.result, first.replayed) == ("quick", False)
    assert first.first_answered is not None
    assert abs(datetime.now(UTC) - first.first_answered) < timedelta(seconds=30)
    again = await backend.run_once_detailed("book", "k", 1, fails)
    assert (again.result, again.replayed, again.first_answered) == ("quick", True, first.first_answered)
    record = await backend.get(RECORD) or {}
    del record["at"]  # as versions before wrote it
    await backend.set(RECORD, record)
    old = await backend.run_once_detailed("book", "k", 1, fails)
    assert (old.result, old.replayed, old.first_answered) == ("quick", True, None)


async def test_who_waited_has_a_repeat(backend: StorageBackend) -> None:
    slow = Slow()
    tasks = [asyncio.create_task(backend.run_once_detailed("book", "k", 1, slow)) for _ in range(3)]
    await slow.begun.wait()
    slow.go_on.set()
    answers = await asyncio.gather(*tasks)
    assert [answer.replayed for answer in answers] == [False, True, True]
    assert len({(answer.result, answer.first_answered) for answer in answers}) == 1


@rows(
    "terms",
    [
        {"in_flight": "ask"},
        {"in_flight": None},
        {"max_seconds": 0},
        {"max_seconds": "5"},
        {"remember_expired": -1},
        {"remember_expired": 60, "ttl": None},
    ],
    ids=str,
)
async def test_terms_that_mean_nothing_are_refused_before_any_work(
    backend: StorageBackend, terms: dict[str, Any]
) -> None:
    with pytest.raises(InvalidArgumentError):
        await book(backend, fails, **terms)
    assert await backend.keys() == []


async def test_a_key_as_long_as_a_key_may_be(backend: StorageBackend) -> None:
    longest = "k" * (2048 - len("idempotency_fence:a:b:"))
    assert await backend.run_once("a:b", longest, 1, quick, remember_expired=60, max_seconds=60) == "quick"
    with pytest.raises(InvalidKeyError):
        await backend.run_once("a:b", longest + "kkkkkkk", 1, fails)
