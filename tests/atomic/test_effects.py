"""Effects outside the store: noted before they are made, made once, asked about where nobody knows."""

from __future__ import annotations

import asyncio
import copy
from collections.abc import AsyncIterator
from typing import Any

import pytest

from ad_seller.storage import (
    Applied,
    ConflictError,
    EffectUnknownError,
    InFlightError,
    InvalidArgumentError,
    InvalidKeyError,
    InvalidTTLError,
    InvalidValueError,
    NotApplied,
    StorageBackend,
    Transaction,
    TransactionError,
    Unknown,
    UnsupportedError,
)

from .ad_system import CANNOT_TELL, AdSystem
from .conftest import Engine
from .support import Address

DONE, OPEN, CLAIM = "effect:book:order", "effect_open:book:order", "effect_claim:book:order"


@pytest.fixture
async def store(engine: Engine, address: Address) -> AsyncIterator[StorageBackend]:
    """A store that several processes can share; memory and those of seven methods are told apart below."""
    async with address.open() as storage:
        yield storage


async def order(store: StorageBackend, ads: AdSystem, name: str = "order", **terms: Any) -> Any:
    call, reconcile = terms.pop("call", ads.call), terms.pop("reconcile", ads.reconcile)
    return await store.effect("book", name, call, reconcile=reconcile, **terms)


class TestMade:
    async def test_once_whoever_asks_again(self, store: StorageBackend, address: Address) -> None:
        ads = AdSystem()
        async with address.open() as other:
            answers = await asyncio.gather(*(order(one, ads) for one in (store, other, store, other)))
        assert answers == [{"order": 1}] * 4
        assert (len(ads.made), ads.asked) == (1, [])
        assert await store.keys("effect*") == [DONE]
        assert await store.open_effects() == []
        assert 6 * 86_400 < (await store.ttl(DONE) or 0) <= 7 * 86_400

    async def test_is_noted_with_its_id_before_it_is_made(self, store: StorageBackend) -> None:
        ads = AdSystem()

        async def call(effect_id: str) -> Any:
            [noted] = await store.open_effects()
            assert (noted.effect_id, noted.scope, noted.name) == (effect_id, "book", "order")
            assert (noted.is_running, noted.tries, noted.said) == (True, 1, None)
            with pytest.raises(InFlightError):
                await store.resolve_effect("book", "order", NotApplied())
            return await ads.call(effect_id)

        assert await order(store, ads, call=call) == {"order": 1}

    async def test_takes_two_commits(self, store: StorageBackend, monkeypatch: pytest.MonkeyPatch) -> None:
        commits: list[Any] = []
        commit = store._atomic_commit

        async def counted(one: Any) -> Any:
            commits.append(one)
            return await commit(one)

        monkeypatch.setattr(store, "_atomic_commit", counted)
        await order(store, AdSystem())
        assert len(commits) == 2

    async def test_with_what_depends_on_it(self, store: StorageBackend) -> None:
        ads = AdSystem()

        async def save(tx: Transaction, result: Any) -> None:
            await tx.set_deal("D-1", result)

        async def fails(tx: Transaction, result: Any) -> None:
            await save(tx, result)
            raise ZeroDivisionError

        with pytest.raises(ZeroDivisionError):
            await order(store, ads, then=fails)
        assert await store.get_deal("D-1") is None
        assert await store.get(DONE) is None
        assert await order(store, ads, then=save) == await store.get_deal("D-1") == {"order": 1}
        assert (len(ads.made), len(ads.asked)) == (1, 1)

    async def test_several_of_one_request_in_their_order(self, store: StorageBackend) -> None:
        """The second fails once; the first is not made again, and the deal comes with the last."""
        ads = AdSystem()
        tries: list[int] = []

        async def work(tx: Transaction) -> Any:
            tries.append(1)
            first = await order(store, ads, "order")
            if len(tries) == 1:
                ads.fails_before = ConnectionRefusedError("busy")
            second = await order(store, ads, "creative")
            await tx.set_deal("D-1", {"orders": [first, second]})
            return [first, second]

        with pytest.raises(ConnectionRefusedError):
            await store.run_once("buy", "k", 1, work)
        assert await store.get_deal("D-1") is None
        ads.fails_before = None
        both = [{"order": 1}, {"order": 2}]
        assert await store.run_once("buy", "k", 1, work) == await store.run_once("buy", "k", 1, work) == both
        assert (len(ads.made), len(tries)) == (2, 2)
        assert await store.get_deal("D-1") == {"orders": both}


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
        async with asyncio.timeout(5):
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


class TestBadInput:
    async def test_inside_of_itself(self, store: StorageBackend) -> None:
        ads = AdSystem()

        async def call(effect_id: str) -> Any:
            return await order(store, ads)

        async with asyncio.timeout(5):
            with pytest.raises(TransactionError, match="inside of itself"):
                await order(store, ads, call=call)
        assert ads.made == []

    async def test_inside_of_each_other(self, store: StorageBackend) -> None:
        ads = AdSystem()

        async def nested(name: str, other: str) -> Any:
            async def call(effect_id: str) -> Any:
                await asyncio.sleep(0.01)
                return await nested(other, name)

            return await order(store, ads, name, call=call)

        async with asyncio.timeout(5):
            answers = await asyncio.gather(nested("a", "b"), nested("b", "a"), return_exceptions=True)
        assert all(isinstance(answer, ConflictError | TransactionError) for answer in answers), answers
        assert ads.made == []

    async def test_inside_of_an_update(self, store: StorageBackend) -> None:
        ads = AdSystem()
        with pytest.raises(InvalidArgumentError, match="plain function"):
            await store.update("a", lambda old: order(store, ads))  # type: ignore[unused-coroutine]
        assert (ads.made, await store.keys()) == ([], [])

    async def test_then_inside_of_a_transaction(self, store: StorageBackend) -> None:
        ads = AdSystem()

        async def save(tx: Transaction, result: Any) -> None:
            await tx.set("a", result)

        async with store.transaction() as tx:
            with pytest.raises(TransactionError, match="then="):
                await order(store, ads, then=save)
            assert await order(store, ads) == {"order": 1}
            await tx.set("b", 1)
        assert (len(ads.made), await store.keys()) == (1, ["b", DONE])

    @pytest.mark.parametrize(
        ("error", "terms"),
        [
            (InvalidArgumentError, {"call": "call"}),
            (InvalidArgumentError, {"reconcile": None}),
            (InvalidArgumentError, {"then": 5}),
            (InvalidArgumentError, {"timeout": None}),
            (InvalidTTLError, {"timeout": 0}),
            (InvalidTTLError, {"ttl": -1}),
            (InvalidArgumentError, {"claim_ttl": None}),
            (InvalidArgumentError, {"name": ""}),
            (InvalidKeyError, {"name": "n" * 2048}),
            (InvalidKeyError, {"name": "a\0"}),
        ],
        ids=str,
    )
    async def test_is_refused_before_anything_is_done(
        self, store: StorageBackend, error: type[Exception], terms: dict[str, Any]
    ) -> None:
        ads = AdSystem()
        with pytest.raises(error):
            await order(store, ads, **terms)
        assert (ads.made, await store.keys()) == ([], [])

    async def test_a_call_that_is_not_async(self, store: StorageBackend) -> None:
        """It may have done something: nothing is done again before somebody has looked."""
        ads = AdSystem()

        def plain(effect_id: str) -> Any:
            ads.made.append(effect_id)
            return "made"

        with pytest.raises(InvalidArgumentError, match="async"):
            await order(store, ads, call=plain)
        assert await order(store, ads) == {"order": 1}
        assert len(ads.made) == 1

    async def test_scopes_and_names_are_apart(self, store: StorageBackend) -> None:
        ads = AdSystem()
        pairs = [("a:b", "c"), ("a", "b:c"), ("a", "b%3Ac"), ("a%3Ab", "c")]
        made = [await store.effect(*pair, ads.call, reconcile=ads.reconcile) for pair in pairs]
        assert made == [{"order": number} for number in range(1, 5)]
        longest = "n" * (2048 - len("effect_claim:a:b:"))
        assert await store.effect("a:b", longest, ads.call, reconcile=ads.reconcile) == {"order": 5}

    async def test_a_record_of_somebody_else(self, store: StorageBackend) -> None:
        ads = AdSystem()
        await store.set(DONE, {"kind": "sparkle"})
        with pytest.raises(InvalidValueError, match=DONE):
            await order(store, ads)
        assert ads.made == []


async def test_where_atomic_ends_at_the_process_it_is_refused(backend: StorageBackend) -> None:
    ads = AdSystem()
    if backend.capabilities.atomic == "store":
        assert await order(backend, ads) == {"order": 1}
        return
    with pytest.raises(UnsupportedError, match="within one process only"):
        await order(backend, ads)
    with pytest.raises(UnsupportedError):
        await backend.resolve_effect("book", "order", NotApplied())
    assert (ads.made, await backend.keys()) == ([], [])
