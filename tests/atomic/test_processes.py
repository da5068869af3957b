"""Four processes on one store: nothing is lost, and nothing is sold twice."""

from __future__ import annotations

import asyncio
from itertools import pairwise
from typing import Any

from ad_seller.storage import StorageBackend
from examples.api_keys import revoke_key

from .support import Address, everywhere, workers

PROCESSES = 4


def test_increments_add_up(address: Address) -> None:
    everywhere(PROCESSES, address, "increment", "n", 25, 4)
    assert address.run(lambda storage: storage.get("n")) == PROCESSES * 25 * 4


def test_updates_add_up_fairly_and_without_a_storm_of_retries(address: Address) -> None:
    tasks, times = 16, 4
    answers = everywhere(PROCESSES, address, "update", "k", tasks, times)
    calls = PROCESSES * tasks * times
    assert address.run(lambda storage: storage.get("k")) == {"label": "kept", "n": calls}
    # In a process calls queue, so at most one call of each process is in the race at any time.
    assert sum(runs for runs, _ in answers) <= 8 * calls
    assert max(took for _, of_process in answers for took in of_process) < 10


def test_no_session_of_a_buyer_is_lost(address: Address) -> None:
    everywhere(PROCESSES, address, "add_sessions", "adv-1", 25)
    found = address.run(lambda storage: storage.get_buyer_session_ids("adv-1"))
    assert sorted(found) == sorted(f"s{number}-{n}" for number in range(PROCESSES) for n in range(25))
    for number in range(PROCESSES):  # each process called in the order of its numbers
        own = [name for name in found if name.startswith(f"s{number}-")]
        assert own == [f"s{number}-{n}" for n in range(25)]


def test_each_quote_is_sold_once(address: Address) -> None:
    quotes = 25

    async def offer(storage: StorageBackend) -> None:
        for number in range(quotes):
            await storage.set_quote(f"qt-{number}", {"status": "available"})

    async def check(storage: StorageBackend) -> None:
        deals = {deal["quote_id"]: deal["deal_id"] for deal in await storage.list_deals()}
        booked = await storage.list_quotes()
        assert len(await storage.list_deals()) == len(deals) == len(booked) == quotes
        assert {quote["deal_id"] for quote in booked} == set(deals.values())

    address.run(offer)
    assert sum(everywhere(PROCESSES, address, "book_quotes", quotes, 2)) == quotes
    address.run(check)


def test_a_revoked_key_stays_revoked(address: Address) -> None:
    keys = 25

    async def issue(storage: StorageBackend) -> None:
        for number in range(keys):
            await storage.set(f"api_key:k{number}", {"revoked": False, "use_count": 0})

    async def revoke(storage: StorageBackend) -> None:
        for number in range(keys):
            key: Any = None
            while not (key and key["use_count"]):
                await asyncio.sleep(0.005)
                key = await storage.get(f"api_key:k{number}")
            await revoke_key(storage, f"k{number}")

    async def found(storage: StorageBackend) -> list[dict[str, Any]]:
        return [value for _, value in (await storage.scan("api_key:*")).items]

    address.run(issue)
    with workers(2, address, "count_uses", keys) as started:
        for worker in started:
            worker.go()
        address.run(revoke)
        used = sum(worker.result() for worker in started)
    stored = address.run(found)
    assert all(key["revoked"] for key in stored)
    assert sum(key["use_count"] for key in stored) == used >= keys


def test_the_same_request_runs_once(address: Address) -> None:
    requests = 20
    answers = everywhere(PROCESSES, address, "same_requests", requests)
    for request in range(requests):
        same = [answer for of_process in answers for answer in of_process if answer["request"] == request]
        assert len(same) == 2 * PROCESSES
        assert len({answer["by"] for answer in same}) == 1
    ran = address.run(lambda storage: storage.keys("ran:*"))
    assert len(ran) == requests


def test_a_lease_has_one_holder_and_a_growing_fence(address: Address) -> None:
    holds = [hold for of_process in everywhere(PROCESSES, address, "hold_lease", "sync", 4) for hold in of_process]
    holds.sort(key=lambda hold: float(hold[1]))
    fences = [fence for fence, _, _ in holds]
    assert fences == sorted(set(fences))
    for (_, _, until), (_, since, _) in pairwise(holds):
        assert until <= since
