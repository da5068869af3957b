"""What the seller agents of today lose, measured in their own services: none of it is lost here."""

from __future__ import annotations

import asyncio
from typing import Any

from ad_seller.storage import StorageBackend
from examples.api_keys import KeyRefusedError, revoke_key, use_key
from examples.booking import QuoteTakenError, book
from examples.chat import open_session, send_message
from examples.negotiation import counter_offer, open_negotiation
from tests.amounts import times

from .conftest import Engine
from .support import Address, at_once

ROUNDS = 200
QUOTES = times(60, 200)  #: rounds for one quote; eight whole bookings in each
TOGETHER = 20  #: rounds that run at the same time


async def in_rounds(play: Any, rounds: int = ROUNDS) -> None:
    for first in range(0, rounds, TOGETHER):
        await asyncio.gather(*(play(number) for number in range(first, first + TOGETHER)))


async def test_one_quote_and_eight_buyers_many_times(backend: StorageBackend) -> None:
    async def play(number: int) -> None:
        quote_id = f"qt-{number}"
        await backend.set_quote(quote_id, {"quote_id": quote_id, "status": "available"})
        won, lost = await at_once(*(book(backend, f"buyer-{n}", f"r-{number}", quote_id) for n in range(8)))
        assert (len(won), len(lost)) == (1, 7)
        assert all(isinstance(error, QuoteTakenError) and quote_id in str(error) for error in lost)
        quote = await backend.get_quote(quote_id) or {}
        assert quote["deal_id"] == won[0]["deal_id"]
        assert await backend.get_deal(quote["deal_id"]) == won[0]

    await in_rounds(play, QUOTES)
    deals = await backend.list_deals()
    assert len({deal["quote_id"] for deal in deals}) == len(deals) == QUOTES
    assert len(await backend.keys("event:*")) == len(await backend.keys("idempotency:*")) == QUOTES
    assert (await backend.ttl("quote:qt-0") or 0) > 86_000


async def test_a_revoked_key_stays_revoked_200_times(backend: StorageBackend) -> None:
    async def play(number: int) -> None:
        await backend.set(f"api_key:{number}", {"revoked": False, "use_count": 0})
        uses = [use_key(backend, str(number)) for _ in range(4)]
        used, refused = await at_once(*uses[:2], revoke_key(backend, str(number)), *uses[2:])
        assert all(isinstance(error, KeyRefusedError) for error in refused)
        key = await backend.get(f"api_key:{number}") or {}
        assert key["revoked"] is True
        assert key["use_count"] == len(used) - 1

    await in_rounds(play)


async def test_a_revocation_from_another_instance_200_times(engine: Engine, address: Address) -> None:
    async with address.open() as first, address.open() as second:

        async def play(number: int) -> None:
            await first.set(f"api_key:{number}", {"revoked": False, "use_count": 0})
            await at_once(
                use_key(first, str(number)), revoke_key(second, str(number)), use_key(second, str(number))
            )
            key = await first.get(f"api_key:{number}") or {}
            assert key["revoked"] is True

        await in_rounds(play)


async def test_six_messages_are_twelve_in_the_session(backend: StorageBackend) -> None:
    async def reply(text: str) -> str:
        await asyncio.sleep(0.001)
        return f"re: {text}"

    await open_session(backend, "s", "adv-1")
    texts = [f"message {n}" for n in range(6)]
    await asyncio.gather(*(send_message(backend, "s", text, reply) for text in texts))
    messages = (await backend.get_session("s") or {})["messages"]
    assert sorted(m["content"] for m in messages) == sorted([*texts, *(f"re: {text}" for text in texts)])
    for question, answer in zip(messages[::2], messages[1::2], strict=True):
        assert answer == {"role": "assistant", "content": f"re: {question['content']}"}
    assert (await backend.ttl("session:s") or 0) > 6 * 86_400


async def test_six_counter_offers_are_rounds_one_to_six(backend: StorageBackend) -> None:
    await open_negotiation(backend, "qt", asked=100.0, floor=90.0)
    answers = await asyncio.gather(*(counter_offer(backend, "qt", float(price)) for price in range(10, 16)))
    rounds = (await backend.get_negotiation("qt") or {})["rounds"]
    assert [row["round_number"] for row in rounds] == [1, 2, 3, 4, 5, 6]
    assert sorted(row["buyer_price"] for row in rounds) == [10, 11, 12, 13, 14, 15]
    assert sorted(answers, key=lambda row: int(row["round_number"])) == rounds


async def test_100_sessions_of_a_buyer(backend: StorageBackend) -> None:
    await asyncio.gather(*(backend.add_session_to_buyer_index(f"s{n}", "adv-1") for n in range(100)))
    assert await backend.get_buyer_session_ids("adv-1") == [f"s{n}" for n in range(100)]
    await asyncio.gather(
        *(backend.remove_session_from_buyer_index(f"s{n}", "adv-1") for n in range(0, 100, 2)),
        *(backend.add_session_to_buyer_index(f"s{n}", "adv-1") for n in range(100, 150)),
    )
    kept = [*range(1, 100, 2), *range(100, 150)]
    assert await backend.get_buyer_session_ids("adv-1") == [f"s{n}" for n in kept]


async def test_one_url_and_eight_registrations(backend: StorageBackend) -> None:
    ids = await asyncio.gather(
        *(backend.register_agent(f"agent-{n}", {"n": n}, "https://buyer.example") for n in range(8))
    )
    assert len(set(ids)) == 1
    assert await backend.keys("agent:*") == [f"agent:{ids[0]}"]
    assert await backend.get_agent_id_by_url("https://buyer.example") == ids[0]


async def test_a_session_and_its_index_entry_are_one(backend: StorageBackend) -> None:
    async def come_and_go(number: int) -> None:
        await backend.save_buyer_session(f"s{number}", {"n": number}, "adv-1", ttl=60)
        if number % 2:
            assert await backend.delete_buyer_session(f"s{number}", "adv-1")

    await asyncio.gather(*(come_and_go(number) for number in range(20)))
    found = await backend.get_buyer_session_ids("adv-1")
    assert sorted(found) == sorted(f"s{n}" for n in range(0, 20, 2))
    assert len(await backend.list_sessions()) == len(found)
