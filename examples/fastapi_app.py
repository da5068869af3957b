"""A seller's HTTP interface on FastAPI: one shared storage, our errors as answers, bookings that run once.

Run it: uvicorn examples.fastapi_app:app
"""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import Depends, FastAPI, HTTPException, Request
from pydantic import BaseModel

from ad_seller.storage import Transaction
from ad_seller.storage.fastapi import Once, Storage, add_error_handlers, lifespan

app = FastAPI(lifespan=lifespan)
add_error_handlers(app)


class Booking(BaseModel):
    """What a buyer sends."""

    quote_id: str


def buyer(request: Request) -> str:
    """Tell who sends a request; a real agent takes that from its credentials."""
    return request.headers.get("X-Buyer", "anonymous")


@app.get("/health")
async def health(storage: Storage) -> dict[str, bool]:
    """Tell the load balancer whether the store answers: what cannot be reached is a 503, here as everywhere."""
    await storage.exists("health")
    return {"reachable": True}


@app.get("/quotes/{quote_id}")
async def quote(quote_id: str, storage: Storage) -> Any:
    found = await storage.get_quote(quote_id)
    if found is None:
        raise HTTPException(404, "No such quote")
    return found


@app.post("/bookings")
async def book(booking: Booking, once: Annotated[Once, Depends(Once.per("book", buyer))]) -> Any:
    """Book a quote: however often the request comes, there is one deal."""

    async def work(tx: Transaction) -> dict[str, Any]:
        found = await tx.get_quote(booking.quote_id)
        if found is None or found["status"] != "available":
            raise HTTPException(409, "The quote is not available")
        deal = {"deal_id": f"DEMO-{booking.quote_id}", "quote_id": booking.quote_id}
        await tx.set_deal(deal["deal_id"], deal)
        await tx.set_quote(booking.quote_id, found | {"status": "booked"})
        return deal

    return await once.run(booking.model_dump(), work)


@app.post("/orders/{order_id}/approve")
async def approve(order_id: str, storage: Storage) -> Any:
    return await storage.transition_order(order_id, "approved", actor="publisher")
