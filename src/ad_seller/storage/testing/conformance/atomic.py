# ruff: noqa: D102  (the names of the tests say what they check)
"""Read, change and write without losing what others write."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from ...base import StorageBackend
from ...errors import InvalidArgumentError, InvalidValueError
from ...records.markers import DELETE, LEAVE
from ..levels import Level, Section, belongs
from .harness import Harness, need_sharing
from .jobs import NewBackend, count_up, run_together
from .rows import rows


@belongs(Level.ATOMIC, Section.CHANGES)
class AtomicConformance(Harness):
    """create, compare_and_set, get_and_delete, increment and update."""

    async def test_create_does_not_replace(self, backend: StorageBackend) -> None:
        assert await backend.create("a", None) is True
        assert await backend.create("a", 2) is False
        assert await backend.get("a") is None
        assert await backend.delete("a")
        assert await backend.create("a", 3, ttl=60) is True
        assert await backend.get("a") == 3
        assert await backend.ttl("a") is not None

    async def test_one_of_many_creates(self, backend: StorageBackend) -> None:
        created = await asyncio.gather(*(backend.create("a", n) for n in range(50)))
        assert created.count(True) == 1
        assert await backend.get("a") == created.index(True)

    async def test_compare_and_set_looks_at_content_and_type(self, backend: StorageBackend) -> None:
        await backend.set("a", {"x": 1, "y": [True, None]}, ttl=60)
        others: list[Any] = [{"x": 1.0, "y": [True, None]}, {"x": 1, "y": [1, None]}, {"x": 1}, None, [], "x"]
        for other in others:
            assert await backend.compare_and_set("a", other, "new") is False
        assert await backend.compare_and_set("a", {"y": (True, None), "x": 1}, "new") is True
        assert await backend.get("a") == "new"
        assert await backend.ttl("a") is not None
        assert await backend.compare_and_set("a", "new", "newer", ttl=None) is True
        assert await backend.ttl("a") is None
        assert await backend.compare_and_set("missing", None, "new") is False
        assert not await backend.exists("missing")

    async def test_one_of_many_compare_and_sets(self, backend: StorageBackend) -> None:
        await backend.set("a", "old")
        done = await asyncio.gather(*(backend.compare_and_set("a", "old", n) for n in range(50)))
        assert done.count(True) == 1
        assert await backend.get("a") == done.index(True)

    async def test_get_and_delete_gives_the_value_once(self, backend: StorageBackend) -> None:
        await backend.set("a", {"n": 1})
        got = await asyncio.gather(*(backend.get_and_delete("a") for _ in range(50)))
        assert [value for value in got if value is not None] == [{"n": 1}]
        assert not await backend.exists("a")

    async def test_increment_counts_every_call(self, backend: StorageBackend) -> None:
        totals = await asyncio.gather(*(backend.increment("a") for _ in range(100)))
        assert sorted(totals) == list(range(1, 101))
        assert await backend.increment("a", -101) == -1
        assert await backend.increment("a", 10**30) == 10**30 - 1
        assert await backend.get("a") == 10**30 - 1

    async def test_increment_keeps_the_time_to_live_of_its_start(self, backend: StorageBackend) -> None:
        await backend.increment("a", ttl=60)
        await backend.increment("a", ttl=3600)
        left = await backend.ttl("a")
        assert left is not None
        assert 55 < left <= 60
        await backend.increment("b")
        assert await backend.ttl("b") is None

    @rows("value", [1.0, True, "1", None, [1], {}])
    async def test_increment_takes_ints_only(self, backend: StorageBackend, value: Any) -> None:
        await backend.set("a", value)
        with pytest.raises(InvalidArgumentError):
            await backend.increment("b", value)
        if value is not None:
            with pytest.raises(InvalidArgumentError):
                await backend.increment("a")
        assert await backend.get("a") == value
        assert not await backend.exists("b")

    async def test_update_loses_nothing(self, backend: StorageBackend) -> None:
        async def add(number: int) -> None:
            await backend.update("a", lambda current: [*current, number])

        await backend.set("a", [])
        await asyncio.gather(*map(add, range(100)))
        assert await backend.get("a") == list(range(100))

    async def test_update_sees_every_set(self, backend: StorageBackend) -> None:
        await backend.set("a", {"by": "set", "n": 0})
        history: list[Any] = []

        def chained(current: dict[str, Any]) -> dict[str, Any]:
            return {"by": "update", "after": current["n"], "n": current["n"] + 0.5}

        async def keep_setting() -> None:
            for n in range(1, 40):
                await backend.set("a", {"by": "set", "n": n})
                history.append(await backend.get("a"))

        async def keep_updating() -> None:
            for _ in range(40):
                await backend.update("a", chained)
                history.append(await backend.get("a"))

        await asyncio.gather(keep_setting(), keep_updating())
        final: Any = await backend.get("a")
        # The last set is either still there or was seen by an update: none can have been written over blindly.
        assert int(final["n"]) >= 39, history[-5:]

    async def test_update_can_delete_and_leave(self, backend: StorageBackend) -> None:
        await backend.set("a", 1)
        assert await backend.update("a", lambda current: LEAVE) == 1
        assert await backend.update("b", lambda current: LEAVE) is None
        assert await backend.update("b", lambda current: DELETE) is None
        assert await backend.keys() == ["a"]
        assert await backend.update("a", lambda current: DELETE) is None
        assert await backend.keys() == []

    async def test_change_that_returns_none_is_refused(self, backend: StorageBackend) -> None:
        for stored in ("missing", {"n": 1}):
            with pytest.raises(InvalidValueError):  # None is what a function returns that only changes its argument
                await backend.update("a", lambda current: None)
            assert await backend.exists("a") is (stored != "missing")
            await backend.set("a", {"n": 1})
        assert await backend.get("a") == {"n": 1}

    async def test_failing_change_writes_nothing_and_blocks_nobody(self, backend: StorageBackend) -> None:
        await backend.set("a", 1, ttl=60)

        def fail(current: Any) -> Any:
            raise ZeroDivisionError("mine")

        with pytest.raises(ZeroDivisionError, match="mine"):
            await backend.update("a", fail)
        assert await backend.update("a", lambda current: current + 1) == 2
        assert await backend.ttl("a") is not None

    @rows("change", [None, 5, "text", {"a": 1}])
    async def test_change_must_be_a_function(self, backend: StorageBackend, change: Any) -> None:
        await backend.set("a", 1)
        with pytest.raises(InvalidArgumentError):
            await backend.update("a", change)
        assert await backend.get("a") == 1

    async def test_change_must_not_be_a_coroutine_function(self, backend: StorageBackend) -> None:
        async def awaited(current: Any) -> Any:
            return current

        change: Any = awaited  # a type checker refuses it, too
        await backend.set("a", 1)
        with pytest.raises(InvalidArgumentError):
            await backend.update("a", change)
        assert await backend.get("a") == 1

    @rows("attempts", [0, -1, 1.5, True, None, "3"])
    async def test_attempts_must_be_a_positive_int(self, backend: StorageBackend, attempts: Any) -> None:
        with pytest.raises(InvalidArgumentError):
            await backend.update("a", lambda current: 1, attempts=attempts)

    @belongs(Level.PROCESSES, Section.CHANGES)
    async def test_no_increment_of_another_process_is_lost(
        self, backend: StorageBackend, new_backend: NewBackend
    ) -> None:
        need_sharing(backend)
        if backend.capabilities.atomic != "store":
            pytest.skip("declares that the atomic tools hold within one process")
        await run_together(new_backend, count_up, *[("a", 50)] * 4)
        assert await backend.get("a") == 200
