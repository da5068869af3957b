"""The HTTP interface."""

from contextlib import asynccontextmanager

from fastapi import FastAPI, Request
from fastapi.responses import JSONResponse

from .services import Refused, buyers, events, house, selling, together
from .storage.factory import close_storage, get_storage
from .storage.quote_book import QuoteBook


@asynccontextmanager
async def lifespan(app):
    await get_storage()
    yield
    await close_storage()


app = FastAPI(lifespan=lifespan)

#: The calls that change something, by name; the body holds their arguments.
CALLS = {
    function.__name__: function
    for function in (
        house.set_product, house.override, house.set_rates, house.synchronise, house.ask_approval, house.approve,
        selling.make_quote, selling.counter, selling.book, selling.open_order, selling.move_order,
        selling.ask_change, selling.apply_change,
        buyers.open_session, buyers.say, buyers.make_key, buyers.use_key, buyers.revoke_key, buyers.register,
    )
}  # fmt: skip
CALLS |= {"together_book": together.book, "together_say": together.say}


@app.exception_handler(Refused)
async def refused(request: Request, error: Refused):
    return JSONResponse({"error": error.error}, error.status)


@app.post("/call/{name}")
async def call(name: str, arguments: dict):
    return await CALLS[name](**arguments)


@app.get("/health")
async def health():
    return {"type": type(await get_storage()).__name__}


@app.get("/records/{kind}/{record_id}")
async def record(kind: str, record_id: str):
    storage = await get_storage()
    found = await getattr(storage, "get_" + kind)(record_id)
    return found if found else JSONResponse({"error": "not found"}, 404)


@app.get("/lists/{kind}")
async def listing(kind: str, request: Request):
    storage = await get_storage()
    filters = dict(request.query_params)
    return await (getattr(storage, "list_" + kind)(filters) if filters else getattr(storage, "list_" + kind)())


@app.get("/sessions")
async def sessions(buyer_key: str | None = None):
    return await buyers.sessions_of(buyer_key)


@app.get("/events/{kind}")
async def events_of(kind: str):
    return await events.by_kind(kind)


@app.get("/newest")
async def newest(limit: int = 1000):
    return await events.newest(limit)


@app.get("/proof")
async def proof(buyer_id: str, product_id: str, cpm: float):
    return {"proved": await QuoteBook(await get_storage()).proves(buyer_id, product_id, cpm)}
