"""From a quote to a deal to an order."""

import hashlib
import json

from ..storage.factory import get_storage
from ..storage.quote_book import QuoteBook
from . import Refused, events, new_id, now, there


def _digest(payload: dict) -> str:
    return hashlib.sha256(json.dumps(payload, sort_keys=True).encode()).hexdigest()


async def make_quote(buyer_id: str, product_id: str, idempotency_key: str) -> dict:
    storage = await get_storage()
    place = f"idempotency:quote:{buyer_id}:{idempotency_key}"
    payload = _digest({"product_id": product_id})
    if prior := await storage.get(place):
        if prior["payload_hash"] != payload:
            raise Refused(409, "idempotency_conflict")
        return there(await storage.get_quote(prior["quote_id"]), "quote")
    product = there(await storage.get_product(product_id), "product")
    quote = {
        "quote_id": new_id("qt-"),
        "status": "available",
        "buyer_id": buyer_id,
        "product": {"product_id": product_id, "name": product["name"]},
        "cpm": product["cpm"],
        "created_at": now(),
    }
    await storage.set_quote(quote["quote_id"], quote, ttl=7200)
    await QuoteBook(storage).note(quote)
    await storage.set(place, {"quote_id": quote["quote_id"], "payload_hash": payload}, ttl=86400)
    await events.publish("quote.created", quote_id=quote["quote_id"])
    return quote


async def counter(quote_id: str, cpm: float) -> dict:
    storage = await get_storage()
    quote = there(await storage.get_quote(quote_id), "quote")
    history = await storage.get_negotiation(quote_id) or {"status": "active", "rounds": []}
    if history["status"] != "active":
        raise Refused(409, "negotiation is " + history["status"])
    floor = quote["cpm"] * 0.8
    answer = cpm if cpm >= floor else round((quote["cpm"] + floor) / 2, 2)
    history["rounds"].append({"round": len(history["rounds"]) + 1, "buyer": cpm, "seller": answer})
    if cpm >= floor:
        history["status"] = "accepted"
    await storage.set_negotiation(quote_id, history)
    return history


async def book(quote_id: str, buyer_id: str, idempotency_key: str) -> dict:
    storage = await get_storage()
    place = f"idempotency:deal:{buyer_id}:{idempotency_key}"
    payload = _digest({"quote_id": quote_id})
    if prior := await storage.get(place):
        if prior["payload_hash"] != payload:
            raise Refused(409, "idempotency_conflict")
        return there(await storage.get_deal(prior["deal_id"]), "deal")
    quote = there(await storage.get_quote(quote_id), "quote")
    if quote["status"] != "available":
        raise Refused(409, "quote is " + quote["status"])
    history = await storage.get_negotiation(quote_id)
    agreed = history["rounds"][-1]["seller"] if history and history["status"] == "accepted" else quote["cpm"]
    deal = {
        "deal_id": new_id("DEMO-").upper(),
        "quote_id": quote_id,
        "buyer_id": buyer_id,
        "cpm": agreed,
        "status": "proposed",
    }
    quote["status"] = "booked"
    quote["deal_id"] = deal["deal_id"]
    await storage.set_quote(quote_id, quote)
    await storage.set_deal(deal["deal_id"], deal)
    await storage.set(place, {"deal_id": deal["deal_id"], "payload_hash": payload}, ttl=86400)
    await events.publish("deal.booked", deal_id=deal["deal_id"])
    return deal


_STEPS = {
    "draft": ["submitted", "cancelled"],
    "submitted": ["approved", "rejected", "cancelled"],
    "approved": ["cancelled"],
}


async def open_order(deal_id: str) -> dict:
    storage = await get_storage()
    there(await storage.get_deal(deal_id), "deal")
    order = {
        "order_id": new_id("ORD-").upper(),
        "deal_id": deal_id,
        "status": "draft",
        "audit_log": [],
        "budget": 5000.5,
    }
    await storage.set_order(order["order_id"], order)
    return order


async def move_order(order_id: str, to: str, actor: str) -> dict:
    storage = await get_storage()
    order = there(await storage.get_order(order_id), "order")
    if to not in _STEPS.get(order["status"], []):
        raise Refused(409, f"{order['status']} to {to} is no step")
    order["audit_log"].append({"from": order["status"], "to": to, "actor": actor, "at": now()})
    order["status"] = to
    await storage.set_order(order_id, order)
    await events.publish("order." + to, order_id=order_id)
    return order


async def ask_change(order_id: str, changes: dict) -> dict:
    storage = await get_storage()
    there(await storage.get_order(order_id), "order")
    request = {"cr_id": new_id("CR-").upper(), "order_id": order_id, "changes": changes, "status": "pending"}
    await storage.set_change_request(cr_id=request["cr_id"], cr_data=request)
    return request


async def apply_change(cr_id: str) -> dict:
    storage = await get_storage()
    request = there(await storage.get_change_request(cr_id), "change request")
    if request["status"] != "pending":
        raise Refused(409, "change request is " + request["status"])
    order = there(await storage.get_order(request["order_id"]), "order")
    order.update(request["changes"])
    await storage.set_order(request["order_id"], order)
    request["status"] = "applied"
    await storage.set_change_request(cr_id, request)
    return {"request": request, "order": order}
