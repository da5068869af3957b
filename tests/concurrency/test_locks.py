"""Locks by key: fair, and nothing is left after a cancellation."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Coroutine
from typing import Any

import pytest

from ad_seller.storage.concurrency.locks import KeyLocks


async def hold_until(locks: KeyLocks, leave: asyncio.Event, *keys: str) -> None:
    async with locks.hold(*keys):
        await leave.wait()


async def start(coroutine: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
    task = asyncio.ensure_future(coroutine)
    await asyncio.sleep(0)
    return task


async def is_free(locks: KeyLocks, *keys: str) -> bool:
    try:
        async with asyncio.timeout(0.05), locks.hold(*keys):
            return True
    except TimeoutError:
        return False


async def test_one_holder_at_a_time_in_the_order_of_asking() -> None:
    locks = KeyLocks()
    order: list[int] = []
    inside = 0

    async def enter(number: int) -> None:
        nonlocal inside
        async with locks.hold("a"):
            inside += 1
            assert inside == 1
            await asyncio.sleep(0)
            order.append(number)
            inside -= 1

    await asyncio.gather(*map(enter, range(50)))
    assert order == list(range(50))


async def test_other_keys_are_free() -> None:
    locks = KeyLocks()
    leave = asyncio.Event()
    holder = await start(hold_until(locks, leave, "a", "b"))
    assert await is_free(locks, "c")
    assert not await is_free(locks, "a")
    assert not await is_free(locks, "c", "b")
    assert await is_free(locks, "c")
    leave.set()
    await holder
    assert await is_free(locks, "a", "b", "c")


async def test_holders_of_several_keys_do_not_block_each_other() -> None:
    locks = KeyLocks()
    rng = random.Random(1)

    async def work() -> None:
        for _ in range(20):
            async with locks.hold(*rng.sample("abcde", 3)):
                await asyncio.sleep(0)

    async with asyncio.timeout(10):
        await asyncio.gather(*(work() for _ in range(20)))


async def test_same_key_twice_in_one_hold() -> None:
    async with asyncio.timeout(20), KeyLocks().hold("a", "a"):
        pass


async def test_error_inside_gives_up_the_keys() -> None:
    locks = KeyLocks()
    with pytest.raises(ZeroDivisionError):
        async with locks.hold("a", "b"):
            raise ZeroDivisionError
    assert await is_free(locks, "a", "b")


async def test_cancelled_wait_gives_up_its_place() -> None:
    locks = KeyLocks()
    leave = asyncio.Event()
    holder = await start(hold_until(locks, leave, "b"))
    waiting = await start(hold_until(locks, leave, "a", "b"))  # has a, waits for b
    assert not await is_free(locks, "a")
    waiting.cancel()
    await asyncio.wait([waiting])
    assert waiting.cancelled()
    assert await is_free(locks, "a")
    leave.set()
    await holder
    assert await is_free(locks, "a", "b")


async def test_cancelled_and_released_in_one_tick() -> None:
    for cancel_first in (True, False):
        locks = KeyLocks()
        leave = asyncio.Event()
        holder = await start(hold_until(locks, leave, "a"))
        first = await start(hold_until(locks, leave, "a"))
        second = await start(hold_until(locks, leave, "a"))
        if cancel_first:
            first.cancel()
            leave.set()
        else:
            leave.set()
            await asyncio.sleep(0)  # the holder has passed the turn on, the first has not taken it yet
            first.cancel()
        async with asyncio.timeout(20):
            await asyncio.wait([holder, first, second])
        assert first.cancelled()
        second.result()
        assert await is_free(locks, "a")


async def test_storm_of_cancellations_leaves_every_key_free() -> None:
    locks = KeyLocks()
    rng = random.Random(2)
    inside: dict[str, int] = dict.fromkeys("abc", 0)

    async def work() -> None:
        keys = rng.sample("abc", rng.randint(1, 3))
        async with locks.hold(*keys):
            for key in keys:
                inside[key] += 1
                assert inside[key] == 1
            try:
                for _ in range(rng.randint(0, 3)):
                    await asyncio.sleep(0)
            finally:
                for key in keys:
                    inside[key] -= 1

    for _ in range(100):
        tasks = [asyncio.ensure_future(work()) for _ in range(20)]
        for victim in rng.sample(tasks, 10):
            for _ in range(rng.randint(0, 2)):
                await asyncio.sleep(0)
            victim.cancel()
        async with asyncio.timeout(20):
            await asyncio.wait(tasks)
        for task in tasks:
            assert task.cancelled() or task.exception() is None
    assert await is_free(locks, "a", "b", "c")


class TestHeldHere:
    async def test_inside_and_outside(self) -> None:
        locks = KeyLocks()
        assert not locks.held_here("a")
        async with locks.hold("a"):
            assert locks.held_here("a")
            assert not locks.held_here("b")
            assert not KeyLocks().held_here("a")
        assert not locks.held_here("a")

    async def test_child_task_is_inside_too(self) -> None:
        locks = KeyLocks()

        async def child() -> bool:
            return locks.held_here("a")

        async with locks.hold("a"):
            assert await asyncio.ensure_future(child())

    async def test_other_task_is_outside(self) -> None:
        locks = KeyLocks()
        leave = asyncio.Event()
        holder = await start(hold_until(locks, leave, "a"))
        assert not locks.held_here("a")
        leave.set()
        await holder

    async def test_holder_that_has_left_is_outside_even_before_the_next_one_runs(self) -> None:
        locks = KeyLocks()
        leave = asyncio.Event()
        leave.set()
        async with locks.hold("a"):
            waiting = await start(hold_until(locks, leave, "a"))
        assert not locks.held_here("a")
        await waiting

    async def test_child_that_outlives_the_hold_is_outside(self) -> None:
        locks = KeyLocks()
        left = asyncio.Event()

        async def child() -> bool:
            await left.wait()
            return locks.held_here("a")

        async with locks.hold("a"):
            task = asyncio.ensure_future(child())
        async with asyncio.timeout(20), locks.hold("a"):
            left.set()
            assert not await task
