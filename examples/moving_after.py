"""The places of `moving_before.py` with the atomic tools: what comes at the same time is neither lost nor doubled.

The records stay as they were, so older code can still read them.
"""

import asyncio
import uuid
from collections.abc import Callable, Coroutine
from typing import Any

from ad_seller.storage import StorageBackend, Transaction, open_url

Record = dict[str, Any]


class RefusedError(Exception):
    """The request cannot be granted."""


def new_id(prefix: str) -> str:
    return prefix + uuid.uuid4().hex[:12]


async def book(storage: StorageBackend, buyer: str, key: str, quote_id: str) -> Record:
    async def work(tx: Transaction) -> str:
        quote = await tx.get_quote(quote_id)
        if quote is None or quote["status"] != "available":
            raise RefusedError(quote_id)
        deal = {"deal_id": new_id("DEMO-"), "quote_id": quote_id, "buyer": buyer}
        await tx.set_quote(quote_id, quote | {"status": "booked", "deal_id": deal["deal_id"]})
        await tx.set_deal(deal["deal_id"], deal)
        return deal["deal_id"]

    # For a day, `legacy` answers repeats of requests that the older code has served.
    deal_id = await storage.run_once(
        f"deal:{buyer}", key, {"quote_id": quote_id}, work, legacy=lambda old: old["deal_id"]
    )
    return await storage.get_deal(deal_id) or {}


async def counter(storage: StorageBackend, quote_id: str, price: float) -> Record:
    def add(history: Record | None) -> Record:
        rounds = (history or {"rounds": []})["rounds"]
        return {"rounds": [*rounds, {"round": len(rounds) + 1, "price": price}]}

    changed: Record = await storage.update(f"negotiation:{quote_id}", add)
    return changed


async def say(storage: StorageBackend, session_id: str, text: str) -> None:
    def add(session: Record | None) -> Record:
        if session is None:
            raise RefusedError(session_id)
        return session | {"messages": [*session["messages"], text]}

    await storage.update(f"session:{session_id}", add, ttl=604_800)


async def move_order(storage: StorageBackend, order_id: str, to: str, actor: str) -> Record:
    return await storage.transition_order(order_id, to, actor=actor)


async def apply_change(storage: StorageBackend, cr_id: str) -> None:
    async def work(tx: Transaction) -> None:
        request = await tx.get_change_request(cr_id)
        if request is None or request["status"] != "approved":
            raise RefusedError(cr_id)
        order = await tx.get_order(request["order_id"]) or {}
        await tx.set_order(request["order_id"], order | {"budget": order["budget"] + request["more"]})
        await tx.set_change_request(cr_id, request | {"status": "applied"})

    await storage.transact(work)


async def use_key(storage: StorageBackend, digest: str) -> None:
    def count(key: Record | None) -> Record:
        if key is None or key["revoked"]:
            raise RefusedError(digest)
        return key | {"use_count": key["use_count"] + 1}

    await storage.update(f"api_key:{digest}", count)


async def register(storage: StorageBackend, url: str, name: str) -> str:
    agent = {"agent_id": new_id("agent-"), "name": name, "url": url}
    return await storage.register_agent(agent["agent_id"], agent, url)


async def publish(storage: StorageBackend, kind: str) -> None:
    event = {"event_id": new_id("evt-"), "event_type": kind}

    async def work(tx: Transaction) -> None:
        await tx.set(f"event:{event['event_id']}", event)
        await tx.update(f"event_index:type:{kind}", lambda ids: [*(ids or []), event["event_id"]])

    await storage.transact(work)


async def approve(storage: StorageBackend, approval_id: str, by: str) -> None:
    async def work(tx: Transaction) -> None:
        approval = await tx.get(f"approval:{approval_id}")
        if approval is None or approval["status"] != "pending":
            raise RefusedError(approval_id)
        await tx.set(f"approval:{approval_id}", approval | {"status": "granted", "by": by})
        await tx.update("approval_index:pending", lambda ids: [each for each in ids if each != approval_id])

    await storage.transact(work)


async def override(storage: StorageBackend, product_id: str, change: float) -> None:
    async def work(tx: Transaction) -> None:
        product = await tx.get_product(product_id)
        if product is None:
            raise RefusedError(product_id)
        await tx.set(f"inventory_override:{product_id}", {"before": product["cpm"]})
        await tx.set_product(product_id, product | {"cpm": product["cpm"] + change})

    await storage.transact(work)


async def synchronise(storage: StorageBackend, fetch: Callable[[str], Coroutine[Any, Any, str]]) -> None:
    async with storage.lease("sync:inventory", ttl=60, wait=30):  # one at a time, among all processes
        mark = await storage.get("sync_watermark:inventory") or {"since": "", "runs": 0}
        since = await fetch(mark["since"])
        await storage.set("sync_watermark:inventory", {"since": since, "runs": mark["runs"] + 1})


async def set_rate(storage: StorageBackend, product_id: str, cpm: float) -> None:
    def enter(card: Record | None) -> Record:
        return {"entries": (card or {"entries": {}})["entries"] | {product_id: cpm}}

    await storage.update("rate_card:current", enter)


async def main() -> None:
    async with open_url("memory://") as storage:
        await storage.set_quote("qt-1", {"quote_id": "qt-1", "status": "available"})
        buyers = (book(storage, f"buyer-{number}", "1", "qt-1") for number in range(8))
        answers = await asyncio.gather(*buyers, return_exceptions=True)
        print("One quote, 8 buyers at once:", sum(isinstance(answer, dict) for answer in answers), "deal")


if __name__ == "__main__":
    asyncio.run(main())
