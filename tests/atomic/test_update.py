"""`update`: what the change may return, what it must not do, and how contention goes."""

from __future__ import annotations

import asyncio
import functools
from datetime import timedelta
from typing import Any

import pytest

from ad_seller.storage import (
    DELETE,
    KEEP,
    LEAVE,
    PREFIXES,
    ConflictError,
    InvalidArgumentError,
    InvalidValueError,
    StorageBackend,
    Transaction,
)
from ad_seller.storage.testing.conformance.rows import rows

from .conftest import Engine
from .support import Address, at_once

NAN = float("nan")


def plus_one(current: Any) -> int:
    return (current or 0) + 1


def append(number: int, current: list[int] | None) -> list[int]:
    return [*(current or []), number]


class TestResult:
    async def test_is_the_new_value(self, backend: StorageBackend) -> None:
        assert await backend.update("k", plus_one) == 1
        assert await backend.update("k", plus_one) == 2
        assert await backend.get("k") == 2

    async def test_delete_removes_the_entry(self, backend: StorageBackend) -> None:
        await backend.set("k", 1)
        assert await backend.update("k", lambda _: DELETE) is None
        assert not await backend.exists("k")
        assert await backend.update("k", lambda _: DELETE) is None

    async def test_leave_writes_nothing(self, backend: StorageBackend) -> None:
        await backend.set("k", 1, ttl=100)
        assert await backend.update("k", lambda _: LEAVE, ttl=None) == 1
        assert await backend.update("missing", lambda _: LEAVE) is None
        assert (await backend.ttl("k") or 0) > 90
        assert await backend.keys() == ["k"]

    async def test_what_the_change_is_given_is_its_own(self, backend: StorageBackend) -> None:
        await backend.set("k", {"list": [1]})

        def spoil(current: Any) -> Any:
            current["list"].append(2)
            return LEAVE

        await backend.update("k", spoil)
        assert await backend.get("k") == {"list": [1]}

    async def test_none_is_refused(self, backend: StorageBackend) -> None:
        with pytest.raises(
            InvalidValueError, match=r"returned None, and nothing was written\. Return the new value"
        ):
            await backend.update("k", lambda _: None)
        assert not await backend.exists("k")
        await backend.set("k", [1])
        with pytest.raises(InvalidValueError):
            await backend.update("k", lambda numbers: numbers.append(2))
        async with backend.transaction() as tx:
            with pytest.raises(InvalidValueError):
                await tx.update("k", lambda numbers: numbers.append(2))
        assert await backend.get("k") == [1]

    @rows("entity", PREFIXES)
    async def test_every_entity_has_its_form(self, backend: StorageBackend, entity: str) -> None:
        update, get = getattr(backend, f"update_{entity}"), getattr(backend, f"get_{entity}")
        await asyncio.gather(*(update("id-1", lambda r: {"n": r["n"] + 1}, start={"n": 0}) for _ in range(10)))
        assert await get("id-1") == {"n": 10}
        assert await backend.keys() == [f"{PREFIXES[entity]}id-1"]


class TestExpiry:
    async def test_is_kept(self, backend: StorageBackend) -> None:
        await backend.set("k", 0, ttl=100)
        await backend.update("k", plus_one)
        await backend.update("k", plus_one, ttl=KEEP)
        assert 90 < (await backend.ttl("k") or 0) <= 100

    async def test_can_be_given_anew_or_taken_away(self, backend: StorageBackend) -> None:
        await backend.set("k", 0, ttl=100)
        await backend.update("k", plus_one, ttl=timedelta(seconds=50))
        assert 20 < (await backend.ttl("k") or 0) <= 50
        await backend.update("k", plus_one, ttl=None)
        assert await backend.ttl("k") is None

    async def test_an_expired_entry_is_none_and_its_expiry_is_gone(self, backend: StorageBackend) -> None:
        await backend.create("k", 5, ttl=0.05)
        await asyncio.sleep(0.08)
        assert await backend.update("k", plus_one) == 1
        assert await backend.ttl("k") is None


class TestBadChange:
    @pytest.fixture(autouse=True)
    async def stored(self, backend: StorageBackend) -> None:
        await backend.set("k", {"n": 1})

    @pytest.mark.parametrize(
        "value",
        [NAN, {"price": [NAN]}, {1: 2}, {1, 2}, b"", object()],
        ids=["NaN", "deep", "key", "set", "bytes", "object"],
    )
    async def test_returning_what_json_has_not(self, backend: StorageBackend, value: Any) -> None:
        with pytest.raises(InvalidValueError) as raised:
            await backend.update("k", lambda _: value)
        assert raised.value.key == "k"

    async def test_raising(self, backend: StorageBackend) -> None:
        with pytest.raises(ZeroDivisionError):
            await backend.update("k", lambda _: 1 // 0)

    async def test_awaiting(self, backend: StorageBackend) -> None:
        async def awaited(current: Any) -> Any:
            return current

        change: Any = awaited  # a type checker refuses it, too
        with pytest.raises(InvalidArgumentError, match="transact"):
            await backend.update("k", change)

    @pytest.mark.parametrize("change", [None, 1, {"n": 2}], ids=repr)
    async def test_being_no_function(self, backend: StorageBackend, change: Any) -> None:
        with pytest.raises(InvalidArgumentError):
            await backend.update("k", change)

    @pytest.mark.parametrize("attempts", [0, -1, 1.5, True, None], ids=repr)
    async def test_bad_attempts(self, backend: StorageBackend, attempts: Any) -> None:
        with pytest.raises(InvalidArgumentError):
            await backend.update("k", plus_one, attempts=attempts)

    @pytest.fixture(autouse=True)
    async def nothing_was_written_and_nothing_is_held(self, backend: StorageBackend, stored: None) -> Any:
        yield
        assert await backend.get("k") == {"n": 1}
        async with asyncio.timeout(20):
            await backend.update("k", lambda _: {"n": 2})


class TestContention:
    TASKS = 64

    async def test_64_tasks_on_one_key_finish_fairly_and_without_retries(self, backend: StorageBackend) -> None:
        runs = 0

        def change(current: Any) -> int:
            nonlocal runs
            runs += 1
            return plus_one(current)

        finished = [0] * self.TASKS
        ahead = 0

        async def task(number: int) -> None:
            nonlocal ahead
            for _ in range(5):
                await backend.update("k", change)
                finished[number] += 1
                ahead = max(ahead, max(finished) - min(finished))

        await asyncio.gather(*(task(number) for number in range(self.TASKS)))
        assert await backend.get("k") == runs == 5 * self.TASKS
        assert ahead <= 2, "a task was served again and again while another waited"

    async def test_tasks_take_turns_in_the_order_of_their_calls(self, backend: StorageBackend) -> None:
        await asyncio.gather(*(backend.update("k", functools.partial(append, n)) for n in range(30)))
        assert await backend.get("k") == list(range(30))

    async def test_transactions_retry_within_bounds(self, backend: StorageBackend) -> None:
        runs = 0

        async def work(tx: Any) -> None:
            nonlocal runs
            runs += 1
            await tx.set("k", plus_one(await tx.get("k")))

        results, errors = await at_once(*(backend.transact(work) for _ in range(self.TASKS)))
        assert (len(results), errors) == (self.TASKS, [])
        assert await backend.get("k") == self.TASKS
        assert runs <= 20 * self.TASKS


class TestOvertaken:
    """Every try is overtaken by a writer that takes no turns with this process."""

    async def test_update_gives_up_after_so_many_attempts(self, engine: Engine, address: Address) -> None:
        runs = 0

        def change(_: Any) -> int:
            nonlocal runs
            runs += 1
            address.write_text("k", str(runs))
            return 0

        async with address.open() as storage:
            with pytest.raises(ConflictError, match="'k'") as raised:
                await storage.update("k", change, attempts=7)
            assert (runs, raised.value.key) == (7, "k")
            assert await storage.get("k") == 7

    async def test_transact_gives_up_after_so_many_attempts(self, engine: Engine, address: Address) -> None:
        runs = 0

        async def work(tx: Transaction) -> None:
            nonlocal runs
            runs += 1
            await tx.get("k")
            address.write_text("k", str(runs))
            await tx.set("other", 0)

        async with address.open() as storage:
            with pytest.raises(ConflictError, match="'k'") as raised:
                await storage.transact(work, attempts=7)
            assert (runs, raised.value.key) == (7, "k")
            assert not await storage.exists("other")

    async def test_one_overtaking_costs_one_more_run(self, engine: Engine, address: Address) -> None:
        runs = 0

        def change(current: Any) -> list[Any]:
            nonlocal runs
            runs += 1
            if runs == 1:
                address.write_text("k", "[7]")
            return [*(current or []), runs]

        async with address.open() as storage:
            assert await storage.update("k", change) == [7, 2]


class NoCopyError(Exception):
    """Cannot be copied: it takes two arguments and keeps one."""

    def __init__(self, one: str, two: str) -> None:
        super().__init__(one)


class TestOneOfALine:
    """Changes that wait for a key together share a commit, not their failures."""

    @pytest.mark.parametrize("failure", [StopIteration, lambda: NoCopyError("a", "b"), KeyError])
    async def test_a_change_that_raises_harms_nobody_else(self, backend: StorageBackend, failure: Any) -> None:
        def raising(current: Any) -> Any:
            raise failure()

        changes = [plus_one, plus_one, raising, plus_one, raising, plus_one]
        answers = await asyncio.gather(*(backend.update("k", one) for one in changes), return_exceptions=True)
        assert [answer for answer in answers if isinstance(answer, int)] == [1, 2, 3, 4]
        assert [isinstance(answer, Exception) for answer in answers] == [change is raising for change in changes]
        assert not any(isinstance(answer, asyncio.CancelledError) for answer in answers)
        assert await backend.get("k") == 4
