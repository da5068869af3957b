"""A dozen places of a seller agent of the older kind: each reads, changes and writes back.

They run here as they are, and lose what comes at the same time. `moving_after.py` has the same functions, mended.
"""

import asyncio
import uuid
from collections.abc import Callable, Coroutine
from typing import Any

from ad_seller.storage import StorageBackend, open_url

Record = dict[str, Any]


class RefusedError(Exception):
    """The request cannot be granted."""


def new_id(prefix: str) -> str:
    return prefix + uuid.uuid4().hex[:12]


async def book(storage: StorageBackend, buyer: str, key: str, quote_id: str) -> Record:
    prior = await storage.get(f"idempotency:deal:{buyer}:{key}")
    if prior:
        return await storage.get_deal(prior["deal_id"]) or {}
    quote = await storage.get_quote(quote_id)
    if quote is None or quote["status"] != "available":
        raise RefusedError(quote_id)
    deal = {"deal_id": new_id("DEMO-"), "quote_id": quote_id, "buyer": buyer}
    await storage.set_quote(quote_id, quote | {"status": "booked", "deal_id": deal["deal_id"]})
    await storage.set_deal(deal["deal_id"], deal)
    await storage.set(f"idempotency:deal:{buyer}:{key}", {"deal_id": deal["deal_id"]}, ttl=86_400)
    return deal


async def counter(storage: StorageBackend, quote_id: str, price: float) -> Record:
    history = await storage.get_negotiation(quote_id) or {"rounds": []}
    history["rounds"].append({"round": len(history["rounds"]) + 1, "price": price})
    await storage.set_negotiation(quote_id, history)
    return history


async def say(storage: StorageBackend, session_id: str, text: str) -> None:
    session = await storage.get_session(session_id)
    if session is None:
        raise RefusedError(session_id)
    session["messages"].append(text)
    await storage.set_session(session_id, session, ttl=604_800)


async def move_order(storage: StorageBackend, order_id: str, to: str, actor: str) -> Record:
    order = await storage.get_order(order_id)
    if order is None or order["status"] != "submitted":
        raise RefusedError(order_id)
    order["audit_log"]["transitions"].append({"from_status": order["status"], "to_status": to, "actor": actor})
    order["status"] = to
    await storage.set_order(order_id, order)
    return order


async def apply_change(storage: StorageBackend, cr_id: str) -> None:
    request = await storage.get_change_request(cr_id)
    if request is None or request["status"] != "approved":
        raise RefusedError(cr_id)
    order = await storage.get_order(request["order_id"]) or {}
    order["budget"] += request["more"]
    await storage.set_order(request["order_id"], order)
    await storage.set_change_request(cr_id, request | {"status": "applied"})


async def use_key(storage: StorageBackend, digest: str) -> None:
    key = await storage.get(f"api_key:{digest}")
    if key is None or key["revoked"]:
        raise RefusedError(digest)
    key["use_count"] += 1
    await storage.set(f"api_key:{digest}", key)


async def register(storage: StorageBackend, url: str, name: str) -> str:
    known: str | None = await storage.get(f"agent_url_index:{url}")
    if known is not None:
        return known
    agent = {"agent_id": new_id("agent-"), "name": name, "url": url}
    await storage.set_agent(agent["agent_id"], agent)
    await storage.set(f"agent_url_index:{url}", agent["agent_id"])
    return agent["agent_id"]


async def publish(storage: StorageBackend, kind: str) -> None:
    event = {"event_id": new_id("evt-"), "event_type": kind}
    await storage.set(f"event:{event['event_id']}", event)
    ids = await storage.get(f"event_index:type:{kind}") or []
    ids.append(event["event_id"])
    await storage.set(f"event_index:type:{kind}", ids)


async def approve(storage: StorageBackend, approval_id: str, by: str) -> None:
    approval = await storage.get(f"approval:{approval_id}")
    if approval is None or approval["status"] != "pending":
        raise RefusedError(approval_id)
    await storage.set(f"approval:{approval_id}", approval | {"status": "granted", "by": by})
    pending = await storage.get("approval_index:pending") or []
    pending.remove(approval_id)
    await storage.set("approval_index:pending", pending)


async def override(storage: StorageBackend, product_id: str, change: float) -> None:
    product = await storage.get_product(product_id)
    if product is None:
        raise RefusedError(product_id)
    await storage.set(f"inventory_override:{product_id}", {"before": product["cpm"]})
    product["cpm"] += change
    await storage.set_product(product_id, product)


async def synchronise(storage: StorageBackend, fetch: Callable[[str], Coroutine[Any, Any, str]]) -> None:
    mark = await storage.get("sync_watermark:inventory") or {"since": "", "runs": 0}
    since = await fetch(mark["since"])
    await storage.set("sync_watermark:inventory", {"since": since, "runs": mark["runs"] + 1})


async def set_rate(storage: StorageBackend, product_id: str, cpm: float) -> None:
    card = await storage.get("rate_card:current") or {"entries": {}}
    card["entries"][product_id] = cpm
    await storage.set("rate_card:current", card)


async def main() -> None:
    async with open_url("memory://") as storage:
        await storage.set_quote("qt-1", {"quote_id": "qt-1", "status": "available"})
        deals = await asyncio.gather(*(book(storage, f"buyer-{number}", "1", "qt-1") for number in range(8)))
        print("One quote, 8 buyers at once:", len({deal["deal_id"] for deal in deals}), "deals")


if __name__ == "__main__":
    asyncio.run(main())
