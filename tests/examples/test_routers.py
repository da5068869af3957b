"""`examples/routers/before.py` and `after.py` over HTTP: eight requests at once to each route."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from types import ModuleType
from typing import Any

import httpx2
import pytest

from ad_seller.storage import Applied, NotApplied, Reconciled, close_storage, get_storage
from examples.routers import after as routers_after
from examples.routers import before as routers_before
from examples.routers.shared import Record, make_app

N = 8


class CountingAds:
    """An ad server that makes an order for every call; it may lose its next answer."""

    def __init__(self) -> None:
        self.orders: dict[str, Record] = {}
        self.told: list[Any] = []
        self.loses_an_answer = False
        self.is_down = False
        self.waits_for_two = False
        self.has_two = asyncio.Event()

    async def make_order(self, reference: str, quote_id: str) -> Record:
        order = self.orders[reference] = {"id": f"O-{len(self.orders) + 1}", "quote_id": quote_id}
        if len(self.orders) == 2:
            self.has_two.set()
        if self.waits_for_two:
            await self.has_two.wait()
        if self.loses_an_answer:
            self.loses_an_answer = False
            raise ConnectionError("the connection was reset")
        return order

    async def find_order(self, reference: str) -> Reconciled:
        order = self.orders.get(reference)
        return NotApplied() if order is None else Applied(order)

    async def tell_buyer(self, buyer: str, deal: Record) -> None:
        if self.is_down:
            raise ConnectionError("refused")
        self.told.append([buyer, deal["deal_id"]])


class Agent:
    """The application of one of the modules, on the shared storage."""

    def __init__(self, module: ModuleType) -> None:
        self.ads = CountingAds()
        self.app = make_app(module.router, self.ads)

    async def post(self, path: str, body: Record, buyer: str = "buyer") -> Any:
        """Return the answer, or the status that is none of success; 500 for an error nobody has caught."""
        transport = httpx2.ASGITransport(self.app, raise_app_exceptions=False)
        async with httpx2.AsyncClient(transport=transport, base_url="http://agent") as client:
            response = await client.post(path, json=body, headers={"X-Buyer": buyer})
        return response.json() if response.is_success else response.status_code

    async def posts(self, path: str, body: Record, *, buyers: bool = False) -> list[Any]:
        """Send it eight times at once, as eight buyers or as one."""
        senders = [f"buyer-{n}" if buyers else "buyer" for n in range(N)]
        return await asyncio.gather(*(self.post(path, body, sender) for sender in senders))


@pytest.fixture(autouse=True)
async def shared_storage(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[None]:
    monkeypatch.setenv("DATABASE_URL", f"sqlite:///{tmp_path}/agent.db")
    monkeypatch.delenv("STORAGE_TYPE", raising=False)
    storage = await get_storage()
    await storage.set_quote("qt-1", {"quote_id": "qt-1", "status": "available"})
    await storage.set_order("o-1", {"status": "draft", "budget": 0, "audit_log": {"transitions": []}})
    await storage.set_change_request("cr-1", {"status": "approved", "order_id": "o-1", "more": 10})
    await storage.set("approval:a-1", {"status": "pending"})
    yield
    await close_storage()


before, after = (pytest.param(module, id=module.__name__) for module in (routers_before, routers_after))
both = pytest.mark.parametrize("module", [before, after])
DEAL = {"idempotency_key": "key-1", "quote_id": "qt-1"}


def won(answers: list[Any]) -> list[Any]:
    return [answer for answer in answers if not isinstance(answer, int)]


@both
async def test_eight_buyers_of_one_quote(module: ModuleType) -> None:
    agent = Agent(module)
    agent.ads.waits_for_two = module is routers_before
    deals = won(await agent.posts("/api/v1/deals", DEAL, buyers=True))
    assert len(deals) == len(agent.ads.orders)
    assert (len(deals) == 1) == (module is routers_after), "before: the same impressions are sold several times"


@both
async def test_one_request_eight_times(module: ModuleType) -> None:
    agent = Agent(module)
    agent.ads.waits_for_two = module is routers_before
    deals = won(await agent.posts("/api/v1/deals", DEAL))
    quote = {"idempotency_key": "key-1", "product_id": "p-1", "cpm": 12.0}
    quotes = won(await agent.posts("/api/v1/quotes", quote))
    seen = [
        len({deal["deal_id"] for deal in deals}),
        len({one["quote_id"] for one in quotes}),
        len(agent.ads.orders),
    ]
    assert (seen == [1, 1, 1]) == (module is routers_after)
    assert await agent.post("/api/v1/quotes", quote | {"cpm": 1.0}) == 409


@both
async def test_an_answer_of_the_ad_server_is_lost(module: ModuleType) -> None:
    """The order is there; the buyer got an error, and asks again."""
    agent = Agent(module)
    agent.ads.loses_an_answer = True
    assert await agent.post("/api/v1/deals", DEAL) == 500
    deal = await agent.post("/api/v1/deals", DEAL)
    assert len(agent.ads.orders) == (1 if module is routers_after else 2)
    assert deal["order"] == f"O-{len(agent.ads.orders)}"
    assert await agent.post("/api/v1/deals", DEAL) == deal


@both
async def test_the_buyer_cannot_be_told(module: ModuleType) -> None:
    agent = Agent(module)
    agent.ads.is_down = True
    answer = await agent.post("/api/v1/deals", DEAL)
    agent.ads.is_down = False
    again = await agent.post("/api/v1/deals", DEAL)
    if module is routers_before:
        assert (answer, agent.ads.told) == (500, []), "the deal is there, the buyer got an error, and is never told"
        return
    assert answer == again
    delivering = asyncio.create_task(routers_after.deliver(await get_storage(), agent.ads))
    while not agent.ads.told:
        assert not delivering.done()
        await asyncio.sleep(0.01)
    delivering.cancel()
    await asyncio.wait([delivering])
    assert agent.ads.told == [["buyer", answer["deal_id"]]]


@both
async def test_eight_at_once_on_the_other_routes(module: ModuleType) -> None:
    agent, storage = Agent(module), await get_storage()
    rounds = await agent.posts("/proposals/pr-1/counter", {"price": 9.5}, buyers=True)
    steps = won(await agent.posts("/api/v1/orders/o-1/transition", {"to_status": "submitted"}))
    changes = won(await agent.posts("/api/v1/change-requests/cr-1/apply", {}))
    decisions = won(await agent.posts("/approvals/a-1/decide", {"decision": "approved"}, buyers=True))
    kept = (await storage.get_negotiation("pr-1") or {})["rounds"]
    numbers = sorted(one["round"] for one in rounds)
    seen = [
        numbers == list(range(1, N + 1)),
        len(kept) == N,
        len(steps) == 1,
        len(changes) == 1,
        len(decisions) == 1,
    ]
    assert all(seen) == (module is routers_after), seen
