# ruff: noqa: D102, PT012  (the names of the tests say what they check; the end of a block raises)
"""Contract, section 5: several entries changed together, or not at all.

The keys carry a tag in braces, so that a Redis Cluster keeps them in one slot.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any

import pytest

from ...base import StorageBackend
from ...errors import (
    ConflictError,
    IdempotencyConflictError,
    InvalidTransitionError,
    LeaseHeldError,
    LeaseLostError,
    TransactionError,
)
from ...seller.transaction import Transaction
from ..levels import Level, Section, belongs
from .harness import Harness, Victims, need_atomic_batches

LEFT, RIGHT, THIRD = "{pair}:left", "{pair}:right", "{pair}:third"
PAIR = [LEFT, RIGHT]

Work = Callable[[Transaction], Coroutine[Any, Any, Any]]


def transfer(amount: int, *, pause: float = 0.0) -> Work:
    """Return work that moves an amount from one balance to the other."""

    async def work(tx: Transaction) -> None:
        left: Any = await tx.get(LEFT)
        right: Any = await tx.get(RIGHT)
        await asyncio.sleep(pause)
        await tx.set(LEFT, left - amount)
        await tx.set(RIGHT, right + amount)

    return work


@belongs(Level.ATOMIC, Section.CHANGES)
class TransactionConformance(Harness):
    """Transactions, and what is built on them for agents and orders."""

    async def test_transaction_sees_its_own_writes_and_others_do_not(self, backend: StorageBackend) -> None:
        await backend.set(LEFT, 1)
        async with backend.transaction() as tx:
            await tx.set(LEFT, 2)
            await tx.set(RIGHT, {"n": 3})
            assert [await tx.get(LEFT), await tx.get(RIGHT), await tx.exists(THIRD)] == [2, {"n": 3}, False]
            assert [await backend.get(LEFT), await backend.exists(RIGHT)] == [1, False]
        assert [await backend.get(LEFT), await backend.get(RIGHT)] == [2, {"n": 3}]

    async def test_failed_transaction_writes_nothing(self, backend: StorageBackend) -> None:
        await backend.set_many({LEFT: 1, THIRD: 3}, ttl=60)
        used: list[Transaction] = []
        with pytest.raises(ZeroDivisionError):
            async with backend.transaction() as tx:
                used.append(tx)
                await tx.set(LEFT, "changed")
                await tx.set(RIGHT, "new")
                await tx.delete(THIRD)
                raise ZeroDivisionError
        assert await backend.get_many([*PAIR, THIRD]) == {LEFT: 1, THIRD: 3}
        assert await backend.ttl(LEFT) is not None
        with pytest.raises(TransactionError):
            await used[0].get(LEFT)

    async def test_conflicting_transaction_writes_nothing(self, backend: StorageBackend) -> None:
        await backend.set_many({LEFT: 1, THIRD: 3})
        with pytest.raises(ConflictError) as caught:
            async with backend.transaction() as tx:
                await tx.set(RIGHT, "new")
                await tx.delete(THIRD)
                await tx.get(LEFT)
                await tx.set(LEFT, "changed")
                await backend.set(LEFT, "by another")
        assert caught.value.key == LEFT
        assert await backend.get_many([*PAIR, THIRD]) == {LEFT: "by another", THIRD: 3}

    async def test_transaction_notices_what_was_created_or_deleted(self, backend: StorageBackend) -> None:
        await backend.set(LEFT, 1)
        with pytest.raises(ConflictError):
            async with backend.transaction() as tx:
                assert await tx.get(RIGHT) is None
                await backend.set(RIGHT, None)
                await tx.set(THIRD, 1)
        with pytest.raises(ConflictError):
            async with backend.transaction() as tx:
                assert await tx.exists(LEFT)
                await backend.delete(LEFT)
                await tx.set(THIRD, 1)
        assert await backend.keys() == [RIGHT]

    async def test_no_concurrent_transaction_is_lost(self, backend: StorageBackend) -> None:
        await backend.set_many({LEFT: 1000, RIGHT: 0})
        await asyncio.gather(*(backend.transact(transfer(amount)) for amount in range(1, 21)))
        assert await backend.get_many(PAIR) == {LEFT: 790, RIGHT: 210}

    async def test_plain_set_between_read_and_commit_is_not_lost(self, backend: StorageBackend) -> None:
        await backend.set_many({LEFT: 100, RIGHT: 0})
        moving = asyncio.ensure_future(backend.transact(transfer(10, pause=0.02)))
        await asyncio.sleep(0.01)
        await backend.set(LEFT, 500)
        await moving
        assert await backend.get_many(PAIR) in ({LEFT: 490, RIGHT: 10}, {LEFT: 500, RIGHT: 10})

    async def test_nobody_sees_half_a_transaction(self, backend: StorageBackend) -> None:
        need_atomic_batches(backend)
        await backend.set_many({LEFT: 1000, RIGHT: 0})
        done = asyncio.Event()

        async def look() -> None:
            while not done.is_set():
                found = await backend.get_many(PAIR)
                assert sum(found.values()) == 1000, "half of a transaction"
                await asyncio.sleep(0)

        looking = asyncio.ensure_future(look())
        for amount in range(1, 31):
            await backend.transact(transfer(amount))
        done.set()
        await looking

    # --- records that belong together ------------------------------------------------------------------

    async def test_session_and_its_index_entry_are_saved_together(self, backend: StorageBackend) -> None:
        await backend.save_buyer_session("{s}1", {"n": 1}, "{s}", ttl=60)
        await asyncio.gather(*(backend.save_buyer_session(f"{{s}}{n}", {"n": n}, "{s}") for n in range(2, 6)))
        assert sorted(await backend.get_buyer_session_ids("{s}")) == [f"{{s}}{n}" for n in range(1, 6)]
        assert await backend.list_sessions() == [{"n": n} for n in range(1, 6)]
        assert await backend.ttl("session:{s}1") is not None
        assert await backend.delete_buyer_session("{s}1", "{s}") is True
        assert await backend.delete_buyer_session("{s}1", "{s}") is False
        assert await backend.get_session("{s}1") is None
        assert "{s}1" not in await backend.get_buyer_session_ids("{s}")

    async def test_one_of_many_registrations_of_a_url_wins(self, backend: StorageBackend) -> None:
        url = "https://{agent}.example"
        ids = [f"{{agent}}{n}" for n in range(8)]
        answers = await asyncio.gather(*(backend.register_agent(one, {"id": one}, url) for one in ids))
        assert len(set(answers)) == 1
        assert await backend.list_agents() == [{"id": answers[0]}]

    async def test_step_of_an_order_and_its_audit_entry_are_one(self, backend: StorageBackend) -> None:
        await backend.set_order("1", {"status": "draft", "n": 1})
        order = await backend.transition_order("1", "submitted", actor="buyer", reason="ready")
        assert order["status"] == "submitted"
        assert await backend.get_order("1") == order
        [entry] = await backend.history("1")
        assert (entry["from_status"], entry["to_status"], entry["actor"]) == ("draft", "submitted", "buyer")
        with pytest.raises(InvalidTransitionError):
            await backend.transition_order("1", "completed", actor="buyer")
        assert await backend.get_order("1") == order

    async def test_one_of_many_equal_steps_is_taken(self, backend: StorageBackend) -> None:
        await backend.set_order("1", {"status": "draft"})
        steps = (backend.transition_order("1", "submitted", actor=f"a{n}", expect="draft") for n in range(20))
        answers = await asyncio.gather(*steps, return_exceptions=True)
        refused = [answer for answer in answers if isinstance(answer, InvalidTransitionError)]
        assert len(refused) == 19, answers
        assert len(await backend.history("1")) == 1


@belongs(Level.ATOMIC, Section.CHANGES)
class RequestConformance(Harness):
    """`run_once` and `lease`."""

    async def test_request_that_comes_several_times_runs_once(self, backend: StorageBackend) -> None:
        runs = 0

        async def book(tx: Transaction) -> dict[str, int]:
            nonlocal runs
            runs += 1
            await asyncio.sleep(0.01)
            await tx.set(f"{{once}}:deal:{runs}", runs)
            return {"deal": runs}

        answers = await asyncio.gather(*(backend.run_once("{once}", "k", {"n": 1}, book) for _ in range(8)))
        assert answers == [{"deal": 1}] * 8
        assert await backend.run_once("{once}", "k", {"n": 1}, book) == {"deal": 1}
        assert await backend.count("{once}:deal:*") == 1
        with pytest.raises(IdempotencyConflictError):
            await backend.run_once("{once}", "k", {"n": 2}, book)
        assert runs == 1

    async def test_failed_request_leaves_nothing_and_can_come_again(self, backend: StorageBackend) -> None:
        async def fail(tx: Transaction) -> None:
            await tx.set("{once}:deal", 1)
            raise ConnectionError("the ad server is down")

        async def book(tx: Transaction) -> str:
            await tx.set("{once}:deal", 2)
            return "booked"

        with pytest.raises(ConnectionError, match="ad server"):
            await backend.run_once("{once}", "k", 1, fail)
        assert await backend.keys() == []
        assert await backend.run_once("{once}", "k", 1, book) == "booked"
        assert await backend.get("{once}:deal") == 2

    @belongs(Level.FAULTS, Section.CHANGES)
    async def test_cancelled_request_takes_effect_once(self, backend: StorageBackend) -> None:
        async def count(tx: Transaction) -> int:
            return int(await tx.update("{once}:count", lambda current: (current or 0) + 1))

        victims = Victims()
        for turn in range(40):
            request = victims.start(backend.run_once, "{once}", f"k{turn}", turn, count)
            for _ in range(turn):
                await asyncio.sleep(0)
            if turn % 2:
                await asyncio.sleep(0.0002 * turn)
            request.cancel()
            await asyncio.wait([request])
            assert await backend.run_once("{once}", f"k{turn}", turn, count) == turn + 1
            assert await backend.get("{once}:count") == turn + 1, "the result and its effect were not one commit"
        victims.show()

    async def test_lease_has_one_holder_and_a_growing_fence(self, backend: StorageBackend) -> None:
        holders = 0
        fences: list[int] = []

        async def hold() -> None:
            nonlocal holders
            async with backend.lease("{sync}", 30, wait=20) as lease:
                holders += 1
                assert holders == 1, "two holders at once"
                fences.append(lease.fence)
                await asyncio.sleep(0.002)
                holders -= 1

        async with asyncio.timeout(25):
            await asyncio.gather(*(hold() for _ in range(5)))
        assert fences == sorted(set(fences)), "each holder has a larger number than the one before"
        assert await backend.get("lease_fence:{sync}") == fences[-1], "the number counts, not the clock alone"
        with pytest.raises(LeaseHeldError):
            async with backend.lease("{sync}", 30), backend.lease("{sync}", 30):
                pass
        assert await backend.keys("lease:*") == []

    async def test_lost_lease_commits_nothing(self, backend: StorageBackend) -> None:
        async def write_as_if_held() -> None:
            async with backend.lease("{sync}", 60) as lease:
                await backend.delete(lease.key)
                async with backend.transaction() as tx:
                    await tx.hold(lease)
                    await tx.set("{sync}:done", True)

        with pytest.raises(LeaseLostError):
            await write_as_if_held()
        assert not await backend.exists("{sync}:done")
