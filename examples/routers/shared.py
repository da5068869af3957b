"""What the routers before and after have in common: what buyers send, and the ad server of the publisher."""

from typing import Annotated, Any, Protocol

from fastapi import APIRouter, Depends, FastAPI, Request
from pydantic import BaseModel

from ad_seller.storage import Reconciled
from ad_seller.storage.fastapi import add_error_handlers, lifespan

Record = dict[str, Any]


class QuoteRequest(BaseModel):
    idempotency_key: str
    product_id: str
    cpm: float


class DealRequest(BaseModel):
    idempotency_key: str
    quote_id: str


class Counter(BaseModel):
    price: float


class Transition(BaseModel):
    to_status: str


class Decision(BaseModel):
    decision: str


class Ads(Protocol):
    """An ad server: it makes an order for every call, and finds orders by the reference they were made with."""

    async def make_order(self, reference: str, quote_id: str) -> Record: ...

    async def find_order(self, reference: str) -> Reconciled: ...

    async def tell_buyer(self, buyer: str, deal: Record) -> None: ...


def ads_of(request: Request) -> Any:
    return request.app.state.ads


def buyer_of(request: Request) -> str:
    """Tell who sends a request; a real agent takes that from its credentials."""
    return request.headers.get("X-Buyer", "anonymous")


AdServer = Annotated[Ads, Depends(ads_of)]
Buyer = Annotated[str, Depends(buyer_of)]


def make_app(router: APIRouter, ads: Ads) -> FastAPI:
    app = FastAPI(lifespan=lifespan)
    app.state.ads = ads
    add_error_handlers(app)
    app.include_router(router)
    return app
