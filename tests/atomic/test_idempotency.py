"""`run_once`: one run, the same answer for everyone, nothing half done."""

from __future__ import annotations

import asyncio
import hashlib
from typing import Any

import pytest

from ad_seller.storage import (
    IdempotencyConflictError,
    InvalidArgumentError,
    InvalidKeyError,
    InvalidValueError,
    StorageBackend,
    StorageConnectionError,
    Transaction,
    TransactionError,
)
from ad_seller.storage.records.codec import canonical
from ad_seller.storage.testing.conformance.rows import rows

from .conftest import Engine
from .support import Address, at_once

RECORD = "idempotency:quote:adv-1:k-1"


class Booking:
    """Work that counts its runs; a run takes a moment, and writes a deal of its own."""

    def __init__(self, seconds: float = 0.0) -> None:
        self.runs = 0
        self.seconds = seconds

    async def __call__(self, tx: Transaction) -> dict[str, Any]:
        self.runs += 1
        deal = {"deal_id": f"d-{self.runs}"}
        await tx.set_deal(deal["deal_id"], deal)
        await asyncio.sleep(self.seconds)
        return deal


async def send(backend: StorageBackend, work: Any, request: Any = 1, **options: Any) -> Any:
    return await backend.run_once("quote:adv-1", "k-1", request, work, **options)


async def test_eight_at_once_are_one_run_with_eight_equal_answers(backend: StorageBackend) -> None:
    work = Booking(0.02)
    answers = await asyncio.gather(*(send(backend, work) for _ in range(8)))
    assert answers == [{"deal_id": "d-1"}] * 8
    assert work.runs == 1
    assert await backend.list_deals() == [{"deal_id": "d-1"}]
    assert await send(backend, work) == {"deal_id": "d-1"}


async def test_eight_instances_too(engine: Engine, address: Address) -> None:
    work = Booking(0.02)
    backends = [address.open() for _ in range(8)]
    await asyncio.gather(*(storage.connect() for storage in backends))
    answers = await asyncio.gather(*(send(storage, work) for storage in backends))
    assert answers == [{"deal_id": "d-1"}] * 8
    assert work.runs == 1
    await asyncio.gather(*(storage.disconnect() for storage in backends))


async def test_another_request_is_refused_also_while_the_first_runs(backend: StorageBackend) -> None:
    first = asyncio.create_task(send(backend, Booking(0.05), {"n": 1, "m": 2}))
    while not await backend.exists(RECORD):  # noqa: ASYNC110 - nothing tells
        await asyncio.sleep(0.001)
    for request in ({"n": 2, "m": 2}, {"n": 1.0, "m": 2}, {"n": 1}, None):
        with pytest.raises(IdempotencyConflictError, match=RECORD):
            await send(backend, Booking(), request)
    assert await first == await send(backend, Booking(), {"m": 2, "n": 1})
    with pytest.raises(IdempotencyConflictError):
        await send(backend, Booking(), {"n": 2, "m": 2})
    assert len(await backend.list_deals()) == 1


@pytest.mark.parametrize(
    ("one", "other"), [(("a:b", "c"), ("a", "b:c")), (("a", "b%3Ac"), ("a", "b:c")), (("a", "b:"), ("a:b", "%"))]
)
async def test_scopes_and_keys_are_apart(
    backend: StorageBackend, one: tuple[str, str], other: tuple[str, str]
) -> None:
    """Two pairs never share a record, whatever separators stand in them."""

    async def first(tx: Transaction) -> str:
        return "first"

    async def second(tx: Transaction) -> str:
        return "second"

    assert await backend.run_once(*one, 1, first) == "first"
    assert await backend.run_once(*other, 1, second) == "second"
    assert await backend.run_once(*one, 1, second) == "first"
    assert await backend.run_once(*other, 1, first) == "second"


async def test_a_record_of_a_version_that_did_not_escape_is_found(backend: StorageBackend) -> None:
    async def fails(tx: Transaction) -> str:
        raise AssertionError("it ran again")

    async def answer(tx: Transaction) -> str:
        return "new"

    digest = hashlib.sha256(canonical(["book", "eu:1", 1])).hexdigest()
    await backend.set("idempotency:book:eu:1", {"request": digest, "result": "old"})
    assert await backend.run_once("book", "eu:1", 1, fails) == "old"
    # The same name, but of another pair: no answer of ours, and no conflict for this one.
    digest = hashlib.sha256(canonical(["book:eu", "2", 1])).hexdigest()
    await backend.set("idempotency:book:eu:2", {"request": digest, "result": "theirs"})
    assert await backend.run_once("book", "eu:2", 1, answer) == "new"


async def test_a_record_of_another_form_is_read_as_the_caller_says(backend: StorageBackend) -> None:
    """The public agent keeps ``{"deal_id", "payload_hash"}`` under the same name."""

    async def work(tx: Transaction) -> str:
        return "made"

    await backend.set("idempotency:deal:acme:k1", {"deal_id": "DEMO-1", "payload_hash": "abc"}, ttl=60)
    with pytest.raises(InvalidValueError, match="legacy"):
        await backend.run_once("deal:acme", "k1", {}, work)
    assert await backend.run_once("deal:acme", "k1", {}, work, legacy=lambda old: old["deal_id"]) == "DEMO-1"
    assert await backend.run_once("deal:acme", "k2", {}, work, legacy=lambda old: old["deal_id"]) == "made"
    with pytest.raises(KeyError):
        await backend.run_once("deal:acme", "k1", {}, work, legacy=lambda old: old["missing"])


async def test_a_record_of_another_form_is_found_under_a_key_that_is_escaped_today(backend: StorageBackend) -> None:
    async def work(tx: Transaction) -> str:
        return "made"

    await backend.set("idempotency:deal:acme:eu:k1", {"deal_id": "DEMO-1"}, ttl=60)
    found = await backend.run_once("deal:acme", "eu:k1", {}, work, legacy=lambda old: old["deal_id"])
    assert found == "DEMO-1"
    with pytest.raises(InvalidValueError, match="legacy"):  # not told how to read it, nobody makes a second deal
        await backend.run_once("deal:acme", "eu:k1", {}, work)


async def test_the_answer_is_remembered_for_its_time(backend: StorageBackend) -> None:
    work = Booking()
    await send(backend, work)
    assert 86_000 < (await backend.ttl(RECORD) or 0) <= 86_400
    await backend.delete(RECORD)
    await send(backend, work, ttl=None)
    assert await backend.ttl(RECORD) is None
    await backend.delete(RECORD)
    await send(backend, work, ttl=0.05)
    await asyncio.sleep(0.08)
    assert await send(backend, work) == {"deal_id": "d-4"}


@rows("answer", [None, 0, "", [], {"price": 15.0, "parts": [1, None]}])
async def test_any_json_is_an_answer(backend: StorageBackend, answer: Any) -> None:
    runs = 0

    async def work(tx: Transaction) -> Any:
        nonlocal runs
        runs += 1
        return answer

    assert [await send(backend, work) for _ in range(3)] == [answer] * 3
    assert runs == 1


class TestFailure:
    async def test_leaves_nothing_and_the_next_one_runs(self, backend: StorageBackend) -> None:
        runs = 0

        async def work(tx: Transaction) -> str:
            nonlocal runs
            runs += 1
            await tx.set("a", runs)
            if runs < 3:
                raise ZeroDivisionError
            return "done"

        results, errors = await at_once(*(send(backend, work) for _ in range(8)))
        assert (results, [type(error) for error in errors]) == (["done"] * 6, [ZeroDivisionError] * 2)
        assert (runs, await backend.get("a")) == (3, 3)

    @pytest.mark.parametrize("answer", [float("nan"), {1: 2}, object()], ids=["NaN", "key", "object"])
    async def test_an_answer_that_json_has_not(self, backend: StorageBackend, answer: Any) -> None:
        async def work(tx: Transaction) -> Any:
            await tx.set("a", 1)
            return answer

        with pytest.raises(InvalidValueError):
            await send(backend, work)
        assert await backend.keys() == []

    async def test_a_conflict_runs_it_again(self, backend: StorageBackend) -> None:
        runs = 0

        async def work(tx: Transaction) -> int:
            nonlocal runs
            runs += 1
            seen = await tx.get("n") or 0
            if runs < 4:
                await backend.set("n", runs)
            await tx.set("n", seen + 10)
            return int(seen)

        assert await send(backend, work) == 3
        assert (runs, await backend.get("n")) == (4, 13)

    async def test_inside_of_itself(self, backend: StorageBackend) -> None:
        async def work(tx: Transaction) -> Any:
            return await send(backend, Booking())

        async with asyncio.timeout(20):
            with pytest.raises(TransactionError):
                await send(backend, work)
        assert await backend.keys() == []

    async def test_a_record_of_another_form(self, backend: StorageBackend) -> None:
        older = {"quote_id": "qt-1", "payload_hash": "61bab92e"}
        await backend.set(RECORD, older)
        with pytest.raises((InvalidValueError, IdempotencyConflictError), match=RECORD):
            await send(backend, Booking())
        assert await backend.scan() == ([(RECORD, older)], None)


class TestBadInput:
    @rows("name", [None, "", 7, b"x"])
    async def test_scope_and_key(self, backend: StorageBackend, name: Any) -> None:
        for call in (backend.run_once(name, "k", 1, Booking()), backend.run_once("s", name, 1, Booking())):
            with pytest.raises(InvalidArgumentError):
                await call
        with pytest.raises(InvalidKeyError):
            await backend.run_once("s", "k" * 2048, 1, Booking())

    async def test_the_request_is_json(self, backend: StorageBackend) -> None:
        with pytest.raises(InvalidValueError):
            await send(backend, Booking(), {"price": float("nan")})

    @rows("claim_ttl", [0, -1, None, "1", True])
    async def test_claim_ttl(self, backend: StorageBackend, claim_ttl: Any) -> None:
        with pytest.raises(InvalidArgumentError):
            await send(backend, Booking(), claim_ttl=claim_ttl)
        assert await backend.keys() == []


async def test_work_that_raises_as_an_unreachable_store_does_leaves_no_claim(backend: StorageBackend) -> None:
    async def work(tx: Transaction) -> None:
        raise StorageConnectionError("the ad server, not the store")

    with pytest.raises(StorageConnectionError):
        await send(backend, work)
    async with asyncio.timeout(20):
        while await backend.exists(RECORD):  # noqa: ASYNC110 - nothing tells
            await asyncio.sleep(0.01)
