"""Routers of a seller agent of the public kind: each reads, decides and writes.

They run as they are, and sell twice what is asked for at the same time. `after.py` has the same routes.
"""

import hashlib
import uuid
from typing import Any

from fastapi import APIRouter, HTTPException

from ad_seller.storage.fastapi import Storage

from .shared import (
    AdServer,
    Buyer,
    Counter,
    DealRequest,
    Decision,
    QuoteRequest,
    Record,
    Transition,
)

router = APIRouter()


def hash_of(request: DealRequest | QuoteRequest) -> str:
    return hashlib.sha256(request.model_dump_json(exclude={"idempotency_key"}).encode()).hexdigest()


@router.post("/api/v1/quotes")
async def create_quote(request: QuoteRequest, storage: Storage, buyer: Buyer) -> Any:
    known = f"idempotency:quote:{buyer}:{request.idempotency_key}"
    prior = await storage.get(known)
    if prior is not None:
        if prior["payload_hash"] != hash_of(request):
            raise HTTPException(409, "The key was used for another quote")
        return await storage.get_quote(prior["quote_id"])
    quote_id = f"qt-{uuid.uuid4().hex[:12]}"
    quote = {
        "quote_id": quote_id,
        "buyer_id": buyer,
        "status": "available",
        "cpm": request.cpm,
    }
    await storage.set_quote(quote_id, quote)
    await storage.set(known, {"quote_id": quote_id, "payload_hash": hash_of(request)}, ttl=86_400)
    return quote


@router.post("/api/v1/deals")
async def book_deal(request: DealRequest, storage: Storage, buyer: Buyer, ads: AdServer) -> Any:
    known = f"idempotency:deal:{buyer}:{request.idempotency_key}"
    prior = await storage.get(known)
    if prior is not None:
        if prior["payload_hash"] != hash_of(request):
            raise HTTPException(409, "The key was used for another deal")
        return await storage.get_deal(prior["deal_id"])
    quote = await storage.get_quote(request.quote_id)
    if quote is None or quote["status"] != "available":
        raise HTTPException(409, "The quote is not available")
    order = await ads.make_order(uuid.uuid4().hex, request.quote_id)
    deal = {"deal_id": f"DEMO-{uuid.uuid4().hex[:12].upper()}", "quote_id": request.quote_id, "order": order["id"]}
    await storage.set_deal(deal["deal_id"], deal)
    await storage.set_quote(request.quote_id, quote | {"status": "booked", "deal_id": deal["deal_id"]})
    await storage.set(known, {"deal_id": deal["deal_id"], "payload_hash": hash_of(request)}, ttl=86_400)
    await ads.tell_buyer(buyer, deal)
    return deal


@router.post("/proposals/{proposal_id}/counter")
async def counter_proposal(proposal_id: str, counter: Counter, storage: Storage, buyer: Buyer) -> Any:
    history: Record = await storage.get_negotiation(proposal_id) or {"rounds": []}
    offer = {"round": len(history["rounds"]) + 1, "by": buyer, "price": counter.price}
    history["rounds"].append(offer)
    await storage.set_negotiation(proposal_id, history)
    return offer


@router.post("/api/v1/orders/{order_id}/transition")
async def transition_order(order_id: str, transition: Transition, storage: Storage, buyer: Buyer) -> Any:
    order = await storage.get_order(order_id)
    if order is None:
        raise HTTPException(404, "No such order")
    if (order["status"], transition.to_status) not in {("draft", "submitted"), ("submitted", "pending_approval")}:
        raise HTTPException(409, "The order cannot take this step")
    step = {"from_status": order["status"], "to_status": transition.to_status, "actor": buyer}
    order["audit_log"]["transitions"].append(step)
    order["status"] = transition.to_status
    await storage.set_order(order_id, order)
    return order


@router.post("/api/v1/change-requests/{cr_id}/apply")
async def apply_change_request(cr_id: str, storage: Storage) -> Any:
    request = await storage.get_change_request(cr_id)
    if request is None or request["status"] != "approved":
        raise HTTPException(409, "The change request is not approved")
    order = await storage.get_order(request["order_id"])
    if order is None:
        raise HTTPException(404, "No such order")
    order["budget"] += request["more"]
    await storage.set_order(request["order_id"], order)
    await storage.set_change_request(cr_id, request | {"status": "applied"})
    return order


@router.post("/approvals/{approval_id}/decide")
async def decide_approval(approval_id: str, decision: Decision, storage: Storage, buyer: Buyer) -> Any:
    approval = await storage.get(f"approval:{approval_id}")
    if approval is None or approval["status"] != "pending":
        raise HTTPException(409, "It is decided already")
    decided = approval | {"status": decision.decision, "by": buyer}
    await storage.set(f"approval:{approval_id}", decided)
    return decided
