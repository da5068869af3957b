"""Killed at any moment of an idempotent booking: never a deal without its record, nor a record without its deal."""

from __future__ import annotations

import asyncio
import json
import sys

from ad_seller.storage import StorageBackend
from tests import warm
from tests.amounts import times

from .conftest import Engine
from .crashing import CLAIM_TTL, book_once
from .support import ROOT, Address

ROUNDS = times(20, 50)


async def offer(storage: StorageBackend) -> None:
    await storage.set_many({f"quote:qt-{number}": {"status": "available"} for number in range(ROUNDS)})


async def check(storage: StorageBackend) -> int:
    """Compare what was left; return how many bookings had been finished."""
    found = dict((await storage.scan()).items)
    finished = 0
    for number in range(ROUNDS):
        deals = [value for key, value in found.items() if key.startswith(f"deal:d-{number}-")]
        record = found.get(f"idempotency:crash:{number}", {})
        assert [record["result"]] == deals if "result" in record else deals == [], number
        assert found[f"quote:qt-{number}"].get("deal_id") == (deals[0]["deal_id"] if deals else None)
        finished += len(deals)
    return finished


async def repeat(storage: StorageBackend) -> None:
    """Every request comes again: those that were finished keep their deal, the others get one."""
    before = {deal["quote_id"]: deal for deal in await storage.list_deals()}
    async with asyncio.timeout(20 * CLAIM_TTL):
        deals = await asyncio.gather(*(book_once(storage, number) for number in range(ROUNDS)))
    for deal in deals:
        assert before.get(deal["quote_id"], deal) == deal == await storage.get_deal(deal["deal_id"])


def test_in_many_rounds(engine: Engine, address: Address) -> None:
    address.run(offer)
    command = [sys.executable, "-m", "tests.atomic.crashing", json.dumps([address, ROUNDS])]
    run = warm.run(command, cwd=ROOT, text=True, timeout=100)
    assert (run.returncode, run.stderr) == (0, "")
    assert int(run.stdout) >= ROUNDS // 5  # how many children were killed before they had finished
    finished = address.run(check)
    assert 0 < finished < ROUNDS
    address.run(repeat)
    assert address.run(check) == ROUNDS
