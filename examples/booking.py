"""Booking a quote: the deal, the quote, the event and the record of the request are one commit.

However many buyers reach for a quote at once, one gets it. However often a buyer sends the same request, it runs
once and every copy gets the same deal. And whenever the process is killed, all four entries are there, or none.
"""

import asyncio
import uuid
from datetime import UTC, datetime
from typing import Any

from ad_seller.storage import InvalidTransitionError, StorageBackend, Transaction, open_url


class QuoteTakenError(Exception):
    """The quote is booked by somebody else, has expired or never was."""


async def book(storage: StorageBackend, buyer: str, request_id: str, quote_id: str) -> dict[str, Any]:
    """Return the deal; the same one for every copy of the request."""

    async def work(tx: Transaction) -> dict[str, Any]:
        quote = await tx.get_quote(quote_id)
        if quote is None or quote["status"] != "available":
            raise QuoteTakenError(f"{quote_id} is not available")
        deal = {"deal_id": new_id("DEMO-").upper(), "quote_id": quote_id, "buyer": buyer, "status": "proposed"}
        await tx.set_deal(deal["deal_id"], deal)
        await tx.update_quote(quote_id, lambda quote: quote | {"status": "booked", "deal_id": deal["deal_id"]})
        event = {"event_id": new_id("evt-"), "event_type": "deal.booked", "deal_id": deal["deal_id"]}
        await tx.set(f"event:{event['event_id']}", event | {"timestamp": datetime.now(UTC).isoformat()})
        return deal

    deal: dict[str, Any] = await storage.run_once(f"book:{buyer}", request_id, {"quote_id": quote_id}, work)
    return deal


def new_id(prefix: str) -> str:
    return prefix + uuid.uuid4().hex[:12]


async def main() -> None:
    async with open_url("memory://") as storage:
        await storage.set_quote("qt-1", {"quote_id": "qt-1", "status": "available"})
        deals = await asyncio.gather(*(book(storage, "acme", "request-1", "qt-1") for _ in range(3)))
        print("acme sent it three times and has", len({deal["deal_id"] for deal in deals}), "deal")
        try:
            await book(storage, "zenith", "request-1", "qt-1")
        except QuoteTakenError as error:
            print("zenith:", error)

        await storage.set_order("ORD-1", {"status": "draft", "deal_id": deals[0]["deal_id"]})
        await storage.transition_order("ORD-1", "submitted", actor="acme", reason="Sent for review")
        try:
            await storage.transition_order("ORD-1", "booked", actor="acme")
        except InvalidTransitionError as error:
            print(error.current, "->", ", ".join(error.allowed))
        print([entry["to_status"] for entry in await storage.history("ORD-1")])


if __name__ == "__main__":
    asyncio.run(main())
