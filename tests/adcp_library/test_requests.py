"""Requests to adcp's own server, in several processes whose answers are in one of our stores."""

from __future__ import annotations

import asyncio
import time
import uuid

import httpx
import pytest
from adcp.decisioning import AdcpError
from adcp.server.idempotency import CachedResponse, WebhookDedupOwnershipError, WebhookDedupStore

from ad_seller.storage import StorageBackend, Transaction
from examples.adcp.idempotency import StoredAnswers, with_answer
from tests.adcp_library.sellers import seller
from tests.adcp_library.serving import Record, buy, code, request_of
from tests.atomic.support import Address


async def only_order(storage: StorageBackend, answer: Record) -> bool:
    """Tell whether there is one order, that of the answer, and one message about it."""
    orders = [order["order_id"] for order in await storage.list_orders()]
    return orders == [answer["media_buy_id"]] and await storage.outbox("webhooks").waiting() == 1


async def test_one_request_at_two_processes(address: Address, storage: StorageBackend) -> None:
    """Eight at once, then one more, another payload, another buyer, and one after the answer was forgotten."""
    request = request_of(str(uuid.uuid4()))
    with seller(address, remember_expired=3600) as one, seller(address, remember_expired=3600) as other:
        answers = await asyncio.gather(*(buy(url, request) for url in (one, other) * 4))
        answers.append(await buy(other, request))
        first = answers[0]
        assert {answer["media_buy_id"] for answer in answers} == {first["media_buy_id"]}
        assert {answer["confirmed_at"] for answer in answers} == {first["confirmed_at"]}
        assert sum(answer.get("replayed", False) for answer in answers) == 8
        assert await only_order(storage, first)

        assert code(await buy(one, request | {"end_time": "2027-01-31T00:00:00Z"})) == "IDEMPOTENCY_CONFLICT"
        assert (await buy(other, request, "buyer-2"))["media_buy_id"] != first["media_buy_id"]

        [forgotten] = [key for key in await storage.keys("adcp_answer:*") if "buyer-1" in key]
        await storage.delete(forgotten)  # as its expiry does
        assert code(await buy(one, request)) == "IDEMPOTENCY_EXPIRED"
        assert len(await storage.list_orders()) == 2


@pytest.mark.parametrize("fault", ["killed before", "killed after"])
async def test_killed_around_the_commit(address: Address, storage: StorageBackend, fault: str) -> None:
    """Nothing of a request is left without its answer, and nothing is made twice."""
    request = request_of(str(uuid.uuid4()))
    with seller(address, fault, holder_ttl=0.5) as dying, seller(address) as other:
        with pytest.raises(httpx.HTTPError):
            await buy(dying, request)
        assert len(await storage.list_orders()) == (fault == "killed after")
        answer = await buy(other, request)
        assert answer.get("replayed", False) == (fault == "killed after")
        assert await only_order(storage, answer)


async def test_in_flight(address: Address, storage: StorageBackend) -> None:
    request = request_of(str(uuid.uuid4()))
    with seller(address, "waits") as slow, seller(address, wait=0) as other:
        first = asyncio.create_task(buy(slow, request))
        while not await storage.exists("test:waiting"):
            assert not first.done(), await first
            await asyncio.sleep(0.01)
        answer = await buy(other, request)
        assert (code(answer), answer["adcp_error"]["retry_after"]) == ("IDEMPOTENCY_IN_FLIGHT", 1)
        await storage.set("test:go", True)
        assert await only_order(storage, await first)
        assert (await buy(other, request))["replayed"]


async def test_who_was_replaced_writes_nothing(storage: StorageBackend) -> None:
    """A process that was frozen, or cut off, for longer than its lease lasts."""
    answers = StoredAnswers(storage)

    async def write(tx: Transaction) -> None:
        await tx.set("order", "made")

    async def late() -> None:
        async with answers.hold("buyer-1", "key-1"):
            with_answer(write)
            [lease] = await storage.keys("lease:*")
            await storage.delete(lease)  # as its end does
            async with answers.hold("buyer-1", "key-1"):
                await answers.put("buyer-1", "key-1", entry("second"))
            await answers.put("buyer-1", "key-1", entry("first"))

    with pytest.raises(AdcpError, match="too long, and changed nothing"):
        await late()
    assert await answers.get("buyer-1", "key-1") == entry("second")
    assert not await storage.exists("order")


NOW = float(int(time.time()))


def entry(text: str, seconds: float = 3600) -> CachedResponse:
    return CachedResponse(payload_hash=text, response={"text": text}, expires_at_epoch=NOW + seconds)


async def test_no_two_pairs_share_an_entry(storage: StorageBackend) -> None:
    answers = StoredAnswers(storage)
    pairs = [("a", "b:c"), ("a:b", "c"), ("a%3Ab", "c"), ("a\x1eb", "c"), ("a", "b\x1ec"), ("a*", "c"), ("é", "c")]
    won = await asyncio.gather(*(answers.put_if_absent(*pair, entry(str(pair))) for pair in pairs * 3))
    assert sum(won) == len(pairs)
    assert [await answers.get(*pair) for pair in pairs] == [entry(str(pair)) for pair in pairs]


async def test_a_request_that_hangs_is_ended(storage: StorageBackend) -> None:
    answers = StoredAnswers(storage, max_seconds=0.05)
    with pytest.raises(AdcpError, match="took too long"):
        async with answers.hold("buyer-1", "key-1"):
            await asyncio.Event().wait()
    async with answers.hold("buyer-1", "key-1"):
        assert await answers.get("buyer-1", "key-1") is None


async def test_webhooks_are_claimed_once(storage: StorageBackend) -> None:
    """The other user of the interface in `adcp`: it replaces entries while it holds them."""
    webhooks = WebhookDedupStore(StoredAnswers(storage), processing_ttl_seconds=60)
    message = ("sender-1", "event-1", "hash")
    claims = await asyncio.gather(*(webhooks.claim(*message) for _ in range(8)))
    [token] = [claim.claim_token for claim in claims if claim.claim_token]
    assert sorted(claim.status for claim in claims) == ["claimed"] + ["in_progress"] * 7
    assert await webhooks.release(*message, token)
    token = (await webhooks.claim(*message)).claim_token
    assert token
    assert await webhooks.complete(*message, token)
    assert (await webhooks.claim(*message)).status == "handled"
    assert (await webhooks.claim("sender-1", "event-1", "other")).status == "conflict"
    with pytest.raises(WebhookDedupOwnershipError):
        await webhooks.release(*message, token)
