"""Effects of which nobody knows at first whether they were made: asked about, decided, never made twice."""

from __future__ import annotations

import asyncio
import copy
from collections.abc import AsyncIterator
from typing import Any

import pytest

from ad_seller.storage import (
    Applied,
    EffectUnknownError,
    InvalidArgumentError,
    InvalidValueError,
    NotApplied,
    StorageBackend,
    Unknown,
)

from .ad_system import CANNOT_TELL, CLAIM, DONE, OPEN, AdSystem, order
from .conftest import Engine
from .support import Address


@pytest.fixture
async def store(engine: Engine, address: Address) -> AsyncIterator[StorageBackend]:
    """A store that several processes can share; memory and those of seven methods are told apart below."""
    async with address.open() as storage:
        yield storage


@pytest.mark.parametrize("odd", ["x", {}, {"scope": "s", "name": "n", "effect": "e", "at": 1e300, "tries": 1}])
async def test_what_others_left_in_place_of_a_note_hides_no_effect(store: StorageBackend, odd: Any) -> None:
    gone = AdSystem()
    gone.fails_before = asyncio.CancelledError()
    with pytest.raises(asyncio.CancelledError):
        await order(store, gone)
    await store.set("effect_open:odd", odd)
    [noted] = await store.open_effects()
    assert (noted.scope, noted.tries) == ("book", 1)


async def test_a_note_that_is_none_of_ours_is_told(store: StorageBackend) -> None:
    await store.set(OPEN, {"effect": "e", "tries": "many"})
    with pytest.raises(InvalidValueError, match="holds no note of an effect"):
        await order(store, AdSystem())
    with pytest.raises(InvalidValueError, match="holds no note of an effect"):
        await store.resolve_effect("book", "order", Applied())


class TestDied:
    """What a process that died leaves: the note, and a claim that ends."""

    @pytest.fixture
    async def left(self, store: StorageBackend) -> str:
        """An effect that was noted by a process that is no more; the id."""
        gone = AdSystem()
        gone.fails_before = asyncio.CancelledError()
        with pytest.raises(asyncio.CancelledError):
            await order(store, gone)
        [noted] = await store.open_effects()
        assert not noted.is_running
        return noted.effect_id

    async def test_it_was_made(self, store: StorageBackend, left: str) -> None:
        ads = AdSystem()
        ads.made.append(left)
        assert await order(store, ads) == {"order": 1}
        assert (ads.made, ads.asked) == ([left], [left])

    async def test_it_was_not_made(self, store: StorageBackend, left: str) -> None:
        ads = AdSystem()
        assert await order(store, ads) == {"order": 1}
        assert (ads.made, ads.asked) == ([left], [left]), "under the same id"

    async def test_nobody_can_tell(self, store: StorageBackend, left: str) -> None:
        ads = AdSystem()
        ads.knows = CANNOT_TELL
        for _ in range(2):
            with pytest.raises(EffectUnknownError, match=r"effect:book:order.*it is being repaired") as told:
                await order(store, ads)
            assert told.value.effect_id == left
        [noted] = await store.open_effects()
        assert (noted.effect_id, noted.tries, noted.is_running) == (left, 3, False)
        assert "it is being repaired" in (noted.said or "")
        assert (ads.made, await store.ttl(OPEN)) == ([], None)

    @pytest.mark.parametrize("lie", [None, True, "applied", {"order": 1}, NotApplied, Applied], ids=str)
    async def test_reconcile_returns_something_else(self, store: StorageBackend, left: str, lie: Any) -> None:
        async def reconcile(effect_id: str) -> Any:
            return lie

        ads = AdSystem()
        with pytest.raises(EffectUnknownError, match="reconcile returned"):
            await order(store, ads, reconcile=reconcile)
        assert ads.made == []
        assert len(await store.open_effects()) == 1

    async def test_reconcile_raises_or_hangs(self, store: StorageBackend, left: str) -> None:
        ads = AdSystem()
        ads.knows = OSError("password=geheim")
        with pytest.raises(EffectUnknownError, match="reconcile raised OSError") as told:
            await order(store, ads)
        assert told.value.__cause__ is ads.knows
        assert "geheim" not in str(await store.get(OPEN))

        async def hangs(effect_id: str) -> Any:
            await asyncio.sleep(60)

        with pytest.raises(EffectUnknownError, match="took longer than"):
            await order(store, ads, reconcile=hangs, timeout=0.05)
        assert (ads.made, await store.exists(CLAIM)) == ([], False)

    async def test_reconcile_finds_what_json_has_not(self, store: StorageBackend, left: str) -> None:
        ads = AdSystem()
        ads.knows = Applied({1, 2})
        with pytest.raises(InvalidValueError):
            await order(store, ads)
        assert ads.made == []
        assert "InvalidValueError" in ((await store.open_effects())[0].said or "")

    async def test_an_operator_decides(self, store: StorageBackend, left: str) -> None:
        ads = AdSystem()
        ads.knows = CANNOT_TELL
        assert await store.resolve_effect("book", "order", Applied({"order": 7}))
        assert await order(store, ads) == {"order": 7}
        assert (ads.made, ads.asked) == ([], [])
        assert not await store.resolve_effect("book", "order", NotApplied()), "it is decided"
        for wrong in (Unknown(), Applied, None):
            with pytest.raises(InvalidArgumentError):
                await store.resolve_effect("book", "order", wrong)  # type: ignore[arg-type]

    async def test_an_operator_has_it_made(self, store: StorageBackend, left: str) -> None:
        ads = AdSystem()
        assert await store.resolve_effect("book", "order", NotApplied())
        assert await order(store, ads) == {"order": 1}
        assert ads.asked == []

    async def test_a_clock_that_jumped_keeps_nobody_waiting(self, store: StorageBackend, left: str) -> None:
        """A claim that has an hour left, as after a clock was set back: its holder is dead, and it ends in time."""
        await store.set(CLAIM, {"claim": "of a dead process", "ttl_ms": 200, "at": 1.0}, ttl=3600)
        async with asyncio.timeout(20):
            assert await order(store, AdSystem()) == {"order": 1}


class TestUncertain:
    async def test_a_call_that_takes_too_long(self, store: StorageBackend) -> None:
        """If it has arrived it counts; if not, it may still arrive, and nothing is made before the next try."""
        ads = AdSystem()

        async def slow(effect_id: str) -> Any:
            await ads.call(effect_id)
            await asyncio.sleep(60)

        assert await order(store, ads, call=slow, timeout=0.05) == {"order": 1}

        async def lost(effect_id: str) -> Any:
            await asyncio.sleep(60)

        with pytest.raises(EffectUnknownError, match="took longer than"):
            await order(store, ads, "other", call=lost, timeout=0.05)
        assert await order(store, ads, "other") == {"order": 2}
        assert len(ads.made) == 2

    async def test_a_call_that_raises(self, store: StorageBackend) -> None:
        ads = AdSystem()
        ads.fails_after = ConnectionResetError("https://ad:geheim@server/ hung up")
        with pytest.raises(ConnectionResetError):
            await order(store, ads)
        [noted] = await store.open_effects()
        assert (noted.said or "").startswith("ConnectionResetError")
        assert "geheim" not in (noted.said or "")
        ads.fails_after = None
        assert await order(store, ads) == {"order": 1}
        assert len(ads.made) == 1

    @pytest.mark.parametrize("result", [{1, 2}, float("nan"), object()], ids=["set", "NaN", "object"])
    async def test_a_result_that_json_has_not(self, store: StorageBackend, result: Any) -> None:
        ads = AdSystem()

        async def call(effect_id: str) -> Any:
            await ads.call(effect_id)
            return result

        with pytest.raises(InvalidValueError) as told:
            await order(store, ads, call=call)
        assert told.value.key == DONE
        assert await order(store, ads, call=call) == {"order": 1}, "as the other system says"
        assert len(ads.made) == 1

    async def test_a_holder_that_was_replaced_gives_the_answer_of_the_other(self, store: StorageBackend) -> None:
        ads = AdSystem()
        called, replaced = asyncio.Event(), asyncio.Event()

        async def frozen(effect_id: str) -> Any:
            await ads.call(effect_id)
            called.set()
            await replaced.wait()
            return "late"

        first = asyncio.create_task(order(store, ads, call=frozen))
        await called.wait()
        await store.delete(CLAIM)  # as if its time were up
        async with copy.copy(store) as other:
            assert await order(other, ads) == {"order": 1}
        replaced.set()
        assert await first == {"order": 1}
        assert len(ads.made) == 1
