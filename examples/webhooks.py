"""A deal and the webhook that tells of it: one commit, and delivered until the receiver has it."""

import asyncio
import logging
from typing import Any

from ad_seller.storage import StorageBackend, Transaction, open_url


async def book(storage: StorageBackend, deal_id: str, buyer: str) -> None:
    """Store a deal, and a message to its buyer: both or neither."""

    async def work(tx: Transaction) -> None:
        await tx.set_deal(deal_id, {"id": deal_id, "buyer_id": buyer})
        await tx.outbox("webhooks").put({"event": "booked", "deal_id": deal_id}, key=buyer)

    await storage.transact(work)


class Receiver:
    """A buyer's server, which fails now and then and knows the ids that it has had."""

    def __init__(self) -> None:
        self.calls = 0
        self.seen: dict[str, Any] = {}

    async def post(self, message: Any, *, idempotency_key: str) -> None:
        self.calls += 1
        if self.calls == 2:
            raise ConnectionError("connection reset")
        self.seen[idempotency_key] = message


async def deliver(storage: StorageBackend, receiver: Receiver, until: int) -> None:
    """Run as many of these as you like, in any process."""
    messages = storage.outbox("webhooks").work(first_pause=0.05, idle=0.05)
    async for message in messages:
        async with message:
            await receiver.post(message.value, idempotency_key=message.id)
        if len(receiver.seen) == until:
            await messages.aclose()


async def main() -> None:
    logging.getLogger("ad_seller.storage").setLevel(logging.ERROR)  # each failed delivery is a warning there
    async with open_url("memory://") as storage:
        for number in range(3):
            await book(storage, f"DEMO-{number}", "buyer-1")
        receiver = Receiver()
        await deliver(storage, receiver, until=3)
        print("delivered in order:", [message["deal_id"] for message in receiver.seen.values()])
        print("calls:", receiver.calls, "waiting:", await storage.outbox("webhooks").waiting())


if __name__ == "__main__":
    asyncio.run(main())
