"""Effects outside the store: noted before they are made, made once, asked about where nobody knows."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest

from ad_seller.storage import (
    ConflictError,
    InFlightError,
    InvalidArgumentError,
    InvalidKeyError,
    InvalidTTLError,
    InvalidValueError,
    NotApplied,
    StorageBackend,
    Transaction,
    TransactionError,
    UnsupportedError,
)
from ad_seller.storage.testing.conformance.rows import rows

from .ad_system import DONE, AdSystem, order
from .conftest import Engine
from .support import Address


@pytest.fixture
async def store(engine: Engine, address: Address) -> AsyncIterator[StorageBackend]:
    """A store that several processes can share; memory and those of seven methods are told apart below."""
    async with address.open() as storage:
        yield storage


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


class TestBadInput:
    async def test_inside_of_itself(self, store: StorageBackend) -> None:
        ads = AdSystem()

        async def call(effect_id: str) -> Any:
            return await order(store, ads)

        async with asyncio.timeout(20):
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

        async with asyncio.timeout(20):
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

    @rows(
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
