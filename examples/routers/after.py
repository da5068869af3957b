"""The routes of `before.py`: what comes at the same time, twice, or before a crash is done once.

The records stay as they were. Deliver the webhooks beside it, in any process: see `deliver`.
"""

import uuid
from typing import Any

from fastapi import APIRouter, HTTPException

from ad_seller.storage import StorageBackend, Transaction
from ad_seller.storage.fastapi import Storage

from .shared import (
    Ads,
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


@router.post("/api/v1/quotes")
async def create_quote(request: QuoteRequest, storage: Storage, buyer: Buyer) -> Any:
    async def work(tx: Transaction) -> Record:
        quote_id = f"qt-{uuid.uuid4().hex[:12]}"
        quote = {"quote_id": quote_id, "buyer_id": buyer, "status": "available", "cpm": request.cpm}
        await tx.set_quote(quote_id, quote)
        return quote

    what = request.model_dump(exclude={"idempotency_key"})
    return await storage.run_once(f"create_quote:{buyer}", request.idempotency_key, what, work)


@router.post("/api/v1/deals")
async def book_deal(request: DealRequest, storage: Storage, buyer: Buyer, ads: AdServer) -> Any:
    scope = f"book_deal:{buyer}:{request.idempotency_key}"

    async def work(tx: Transaction) -> Record:
        await hold(storage, request.quote_id, scope)  # before anything is ordered: another buyer may reach for it
        order = await storage.effect(scope, "order", make_order, reconcile=ads.find_order)
        deal = {
            "deal_id": f"DEMO-{uuid.uuid4().hex[:12].upper()}",
            "quote_id": request.quote_id,
            "order": order["id"],
        }
        await tx.set_deal(deal["deal_id"], deal)
        await tx.update_quote(
            request.quote_id, lambda quote: quote | {"status": "booked", "deal_id": deal["deal_id"]}
        )
        await tx.outbox("webhooks").put({"buyer": buyer, "deal": deal}, key=buyer)
        return deal

    async def make_order(reference: str) -> Any:
        return await ads.make_order(reference, request.quote_id)

    what = request.model_dump(exclude={"idempotency_key"})
    return await storage.run_once(f"book_deal:{buyer}", request.idempotency_key, what, work)


async def hold(storage: StorageBackend, quote_id: str, holder: str) -> None:
    def take(quote: Record | None) -> Record:
        if quote is None or (quote["status"], quote.get("held_by", holder)) not in {
            ("available", holder),
            ("held", holder),
        }:
            raise HTTPException(409, "The quote is not available")
        return quote | {"status": "held", "held_by": holder}

    await storage.update(f"quote:{quote_id}", take)


async def deliver(storage: StorageBackend, ads: Ads) -> None:
    """Tell buyers of their deals, each at least once; run it in any number of processes."""
    async for message in storage.outbox("webhooks").work():
        async with message:
            await ads.tell_buyer(message.value["buyer"], message.value["deal"])


@router.post("/proposals/{proposal_id}/counter")
async def counter_proposal(proposal_id: str, counter: Counter, storage: Storage, buyer: Buyer) -> Any:
    def add(history: Record | None) -> Record:
        rounds = (history or {"rounds": []})["rounds"]
        return {"rounds": [*rounds, {"round": len(rounds) + 1, "by": buyer, "price": counter.price}]}

    changed = await storage.update(f"negotiation:{proposal_id}", add)
    return changed["rounds"][-1]


@router.post("/api/v1/orders/{order_id}/transition")
async def transition_order(order_id: str, transition: Transition, storage: Storage, buyer: Buyer) -> Any:
    return await storage.transition_order(order_id, transition.to_status, actor=buyer)


@router.post("/api/v1/change-requests/{cr_id}/apply")
async def apply_change_request(cr_id: str, storage: Storage) -> Any:
    async def work(tx: Transaction) -> Record:
        request = await tx.get_change_request(cr_id)
        if request is None or request["status"] != "approved":
            raise HTTPException(409, "The change request is not approved")
        order = await tx.get_order(request["order_id"])
        if order is None:
            raise HTTPException(404, "No such order")
        order["budget"] += request["more"]
        await tx.set_order(request["order_id"], order)
        await tx.set_change_request(cr_id, request | {"status": "applied"})
        return order

    return await storage.transact(work)


@router.post("/approvals/{approval_id}/decide")
async def decide_approval(approval_id: str, decision: Decision, storage: Storage, buyer: Buyer) -> Any:
    def decide(approval: Record | None) -> Record:
        if approval is None or approval["status"] != "pending":
            raise HTTPException(409, "It is decided already")
        return approval | {"status": decision.decision, "by": buyer}

    return await storage.update(f"approval:{approval_id}", decide)
