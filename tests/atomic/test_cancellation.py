"""Cancelled at every await, before it, during it, and with its answer: all or nothing, and nothing stays behind."""

from __future__ import annotations

import asyncio
import functools
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any, NamedTuple

import pytest

from ad_seller.storage import StorageBackend, Transaction
from examples.booking import book

from .support import MOMENTS, Moment, cancelled_at, settled

pytestmark = pytest.mark.parametrize("moment", MOMENTS, ids=lambda moment: str(moment.__name__))


class Case(NamedTuple):
    """An operation on entries of its own, and the two states that it may leave: before and after."""

    prepare: Callable[[StorageBackend, str], Awaitable[Any]]
    run: Callable[[StorageBackend, str], Coroutine[Any, Any, Any]]
    states: tuple[dict[str, Any], dict[str, Any]]


async def nothing(backend: StorageBackend, name: str) -> None:
    """There is nothing to prepare."""


async def two_keys(tx: Transaction, name: str) -> None:
    await tx.set(f"{name}:a", (await tx.get(f"{name}:a") or 0) + 1)
    await tx.create(f"{name}:b", 1)


async def in_transaction(backend: StorageBackend, name: str) -> None:
    async with backend.transaction() as tx:
        await two_keys(tx, name)


def append(number: int, current: list[int] | None) -> list[int]:
    return [*(current or []), number]


CASES = {
    "create": Case(nothing, lambda b, n: b.create(f"{n}:a", 1), ({}, {"a": 1})),
    "update": Case(
        lambda b, n: b.set(f"{n}:a", 1), lambda b, n: b.update(f"{n}:a", lambda a: a + 1), ({"a": 1}, {"a": 2})
    ),
    "compare_and_set": Case(
        lambda b, n: b.set(f"{n}:a", 1), lambda b, n: b.compare_and_set(f"{n}:a", 1, 2), ({"a": 1}, {"a": 2})
    ),
    "get_and_delete": Case(
        lambda b, n: b.set(f"{n}:a", 1), lambda b, n: b.get_and_delete(f"{n}:a"), ({"a": 1}, {})
    ),
    "increment": Case(nothing, lambda b, n: b.increment(f"{n}:a", ttl=60), ({}, {"a": 1})),
    "transaction": Case(lambda b, n: b.set(f"{n}:a", 1), in_transaction, ({"a": 1}, {"a": 2, "b": 1})),
    "transact": Case(nothing, lambda b, n: b.transact(lambda tx: two_keys(tx, n)), ({}, {"a": 1, "b": 1})),
}


@pytest.mark.parametrize("operation", CASES)
async def test_all_or_nothing(backend: StorageBackend, operation: str, moment: Moment) -> None:
    case = CASES[operation]
    before = asyncio.all_tasks()
    step = 0
    reached = True
    while reached:
        name = f"n{step}"
        await case.prepare(backend, name)
        reached = await cancelled_at(case.run(backend, name), step, moment)
        await settled(before)
        found = {key.removeprefix(f"{name}:"): value for key, value in (await backend.scan(f"{name}:*")).items}
        assert found in case.states, f"cancelled at await {step}"
        assert reached or found == case.states[1]
        async with asyncio.timeout(20):  # nothing that would keep others out is held
            await backend.update(f"{name}:a", lambda _: 0)
            await backend.transact(functools.partial(two_keys, name=name))
        step += 1
    assert step >= 2


async def test_a_booking_has_all_its_parts_or_none(backend: StorageBackend, moment: Moment) -> None:
    before = asyncio.all_tasks()
    step = 0
    reached = True
    while reached:
        quote_id = f"qt-{step}"
        await backend.set_quote(quote_id, {"status": "available"})
        reached = await cancelled_at(book(backend, "acme", quote_id, quote_id), step, moment)
        await settled(before)
        deals = [deal for deal in await backend.list_deals() if deal["quote_id"] == quote_id]
        quote = await backend.get_quote(quote_id) or {}
        record = await backend.get(f"idempotency:book:acme:{quote_id}")
        assert len(deals) == (quote["status"] == "booked") == (record is not None), f"cancelled at await {step}"
        assert reached or record is not None
        async with asyncio.timeout(20):  # the same request again does not wait for a claim that nobody has
            deal = await book(backend, "acme", quote_id, quote_id)
        assert deal == await backend.get_deal(deal["deal_id"])
        assert not deals or deal == deals[0]
        step += 1
    assert len(await backend.keys("event:*")) == step == len(await backend.list_deals())
    assert step >= 3


async def test_those_who_wait_for_a_cancelled_request_go_on(backend: StorageBackend, moment: Moment) -> None:
    await backend.set_quote("qt-1", {"status": "available"})
    first = asyncio.create_task(cancelled_at(book(backend, "acme", "r", "qt-1"), 3, moment))
    others = [asyncio.create_task(book(backend, "acme", "r", "qt-1")) for _ in range(3)]
    async with asyncio.timeout(20):
        await first
        answers = await asyncio.gather(*others)
    assert answers == await backend.list_deals() * 3


async def test_the_queue_of_a_key_goes_on(backend: StorageBackend, moment: Moment) -> None:
    """Some of those who wait for their turn are cancelled; the others get theirs, in order."""
    tasks = [asyncio.create_task(backend.update("k", functools.partial(append, n))) for n in range(20)]
    for turn, task in enumerate(tasks[::3]):
        for _ in range(turn if moment is MOMENTS[1] else 0):
            await asyncio.sleep(0)
        task.cancel()
    async with asyncio.timeout(20):
        await asyncio.wait(tasks)
    assert all(task.cancelled() or task.exception() is None for task in tasks)
    found = await backend.get("k") or []
    assert found == sorted(found)
    assert set(found) >= {n for n in range(20) if n % 3}
    async with asyncio.timeout(20):
        await backend.update("k", lambda c: c)
