"""What an agent of the public kind keeps in lists, as logs: events, approvals, quote history, trust verifications.

Each is appended to in one call, read from its newest end or by a field, and followed. `take_in` reads the older
records and lists in once; it may run again, and leaves them where they are.
"""

import asyncio
from typing import Any

from ad_seller.storage import Log, StorageBackend, Transaction, open_url

Record = dict[str, Any]
EVENT_FIELDS = ("event_type", "flow_id", "session_id")


def events(storage: StorageBackend) -> Log:
    return storage.log("event", by=EVENT_FIELDS)


def approvals(storage: StorageBackend) -> Log:
    return storage.log("approval_audit", by=("approval_id",))


def quote_history(storage: StorageBackend) -> Log:
    return storage.log("quote_history", by=("quote_id", "buyer_id"), retention=90 * 86_400)


def verifications(storage: StorageBackend) -> Log:
    return storage.log("verified_trust", by=("agent_url",))


async def approve(storage: StorageBackend, approval_id: str, who: str) -> None:
    """Decide, and say so in the audit trail: both or neither."""

    async def work(tx: Transaction) -> None:
        await tx.update(f"approval:{approval_id}", lambda found: {**found, "status": "approved"})
        await tx.log("approval_audit", by=("approval_id",)).append({"approval_id": approval_id, "by": who})

    await storage.transact(work)


async def newest_events(storage: StorageBackend, session_id: str, limit: int = 50) -> list[Record]:
    """Return the newest events of a session, the newest first."""
    page = await events(storage).read(session_id=session_id, newest=True, limit=limit)
    return [event for _, event in page.items]


async def quotes_of(storage: StorageBackend, buyer_id: str, product_id: str) -> list[Record]:
    """Return what a buyer was quoted for a product, the oldest first."""
    page = await quote_history(storage).read(buyer_id=buyer_id)
    return [quote for _, quote in page.items if quote["product_id"] == product_id]


async def take_in(storage: StorageBackend) -> dict[str, int]:
    """Read in what the older code has kept; return how many entries each log got."""
    older = {
        "event": await events(storage).take_in("event:*", at="timestamp"),
        "quote_history": await quote_history(storage).take_in(
            "quote_history_index:*", at="quoted_at", records="quote_history:"
        ),
        "verified_trust": await verifications(storage).take_in(
            "verified_trust_index:*", at="recorded_at", records="verified_trust:"
        ),
    }
    return {name: taken.added for name, taken in older.items()}


async def main() -> None:
    async with open_url("memory://") as storage:
        await storage.set_many(
            {
                "event:e1": {
                    "event_type": "quote",
                    "flow_id": None,
                    "session_id": "s1",
                    "timestamp": "2026-01-01T10:00",
                },
                "event:e2": {
                    "event_type": "deal",
                    "flow_id": None,
                    "session_id": "s1",
                    "timestamp": "2026-01-01T09:00",
                },
                "event_index:session:s1": ["e2", "e1"],
                "quote_history:q1": {
                    "quote_id": "q1",
                    "buyer_id": "b",
                    "product_id": "display",
                    "quoted_at": "2026-01-01T10:00:00+00:00",
                },
                "quote_history_index:b:display": ["q1"],
                "approval:a1": {"status": "pending"},
            }
        )
        print("taken in:", await take_in(storage))
        print("again:", await take_in(storage))
        await events(storage).append({"event_type": "booked", "flow_id": None, "session_id": "s1"})
        await approve(storage, "a1", "ops")
        print("newest first:", [event["event_type"] for event in await newest_events(storage, "s1")])
        print("quoted:", [quote["quote_id"] for quote in await quotes_of(storage, "b", "display")])
        print("trail:", [entry for _, entry in (await approvals(storage).read(approval_id="a1")).items])


if __name__ == "__main__":
    asyncio.run(main())
