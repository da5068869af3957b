"""A deal that is also an order at an ad server: made once there and once here, whoever dies when.

The ad server of this example is naive: it makes an order for every request, and keeps the reference that came with
it. So the order is noted here before it is made, under an id that the ad server gets as its reference. After a
crash the next try finds the note and asks the ad server about the reference, before it makes anything.
"""

import asyncio
import json
import sys
import threading
import urllib.request
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import Any
from urllib.error import URLError
from urllib.parse import parse_qs, urlsplit

from ad_seller.storage import LEAVE, Applied, NotApplied, Reconciled, StorageBackend, Transaction, Unknown, open_url

Record = dict[str, Any]


class QuoteTakenError(Exception):
    """The quote is held for somebody else, or never was."""


async def book(storage: StorageBackend, ads: "Ads", buyer: str, key: str, quote_id: str, **terms: Any) -> Record:
    """Return the deal; the same one, word for word, for every copy of the request."""
    scope = f"book:{buyer}:{key}"
    await hold_quote(storage, quote_id, scope)  # before anything is ordered: two buyers may reach for it

    async def work(tx: Transaction) -> Record:
        async def make_order(reference: str) -> Any:
            return await ads.make("orders", reference, {"buyer": buyer})

        async def find_order(reference: str) -> Reconciled:
            return await ads.find("orders", reference)

        order = await storage.effect(scope, "order", make_order, reconcile=find_order, **terms)

        async def make_line(reference: str) -> Any:
            return await ads.make("lines", reference, {"order": order["id"], "quote": quote_id})

        async def find_line(reference: str) -> Reconciled:
            return await ads.find("lines", reference)

        line = await storage.effect(scope, "line", make_line, reconcile=find_line, **terms)
        deal = {"deal_id": f"DEMO-{uuid.uuid4().hex[:12].upper()}", "order": order["id"], "line": line["id"]}
        await tx.set_deal(deal["deal_id"], deal)
        await tx.update_quote(quote_id, lambda quote: quote | {"status": "booked", "deal_id": deal["deal_id"]})
        return deal

    deal: Record = await storage.run_once(f"book:{buyer}", key, {"quote": quote_id}, work, **terms)
    return deal


async def hold_quote(storage: StorageBackend, quote_id: str, scope: str) -> None:
    """Hold the quote for one request."""

    def hold(quote: Record) -> Any:
        if quote.get("held_for") == scope:
            return LEAVE
        if quote["status"] != "available":
            raise QuoteTakenError(f"{quote_id} is not available")
        return quote | {"status": "held", "held_for": scope}

    await storage.update_quote(quote_id, hold)


class Ads:
    """What the agent knows of the ad server.

    Args:
        url: where it answers.
    """

    def __init__(self, url: str) -> None:
        self.url = url

    async def make(self, kind: str, reference: str, what: Record) -> Any:
        """Make an order or a line, and return it."""
        return await asyncio.to_thread(self._ask, kind, {"reference": reference, **what})

    async def find(self, kind: str, reference: str) -> Reconciled:
        """Tell what became of a reference."""
        try:
            found = await asyncio.to_thread(self._ask, f"{kind}?reference={reference}")
        except URLError as error:
            return Unknown(f"the ad server cannot be reached ({error.reason})")
        return Applied(found[0]) if found else NotApplied()

    def _ask(self, path: str, body: Record | None = None) -> Any:
        data = None if body is None else json.dumps(body).encode()
        with urllib.request.urlopen(f"{self.url}/{path}", data, timeout=20) as answer:
            return json.load(answer)


class AdServer(HTTPServer):
    """An ad server with orders and lines; each POST makes one, also for a reference that it has.

    It takes one request after the other. So who asks about a reference is told of every order that was sent before.

    Attributes:
        made: what was made, by kind.
        hangs_up: how often it makes what it is asked for and hangs up instead of answering.
    """

    request_queue_size = 64

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), AdHandler)
        self.made: dict[str, list[Record]] = {"orders": [], "lines": []}
        self.hangs_up = 0

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"

    def make(self, kind: str, what: Record) -> Record | None:
        made = {"id": f"{kind[0].upper()}-{len(self.made[kind]) + 1}", **what}
        self.made[kind].append(made)
        if self.hangs_up:
            self.hangs_up -= 1
            return None
        return made

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Go on: a client hung up."""


class AdHandler(BaseHTTPRequestHandler):
    server: AdServer

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        made = self.server.make(self.path.strip("/"), body)
        if made is not None:
            self._answer(made)

    def do_GET(self) -> None:
        place = urlsplit(self.path)
        wanted = parse_qs(place.query).get("reference")
        made = self.server.made[place.path.strip("/")]
        self._answer([one for one in made if wanted is None or one["reference"] in wanted])

    def _answer(self, value: Any) -> None:
        self.send_response(200)
        self.end_headers()
        self.wfile.write(json.dumps(value).encode())

    def log_message(self, *arguments: Any) -> None:
        """Say nothing."""


@contextmanager
def running() -> Iterator[AdServer]:
    """Run an ad server in a thread."""
    with AdServer() as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        try:
            yield server
        finally:
            server.shutdown()
            thread.join()


async def main() -> None:
    with running() as server:
        async with open_url("memory://") as storage:
            ads = Ads(server.url)
            await storage.set_quote("qt-1", {"status": "available"})
            server.hangs_up = 1
            try:
                await book(storage, ads, "acme", "request-1", "qt-1")
            except OSError as error:
                print("first try:", type(error).__name__)
            [open_effect] = await storage.open_effects()
            print("not known:", open_effect.name)
            deals = [await book(storage, ads, "acme", "request-1", "qt-1") for _ in range(2)]
            print("then:", deals[0]["order"], deals[0]["line"], "and the same again:", deals[0] == deals[1])
            print("at the ad server:", {kind: len(made) for kind, made in server.made.items()})


def serve() -> None:
    """Be an ad server until standard input ends."""
    with running() as server:
        print(server.url, flush=True)
        sys.stdin.read()


if __name__ == "__main__":
    if sys.argv[1:] == ["--serve"]:
        serve()
    else:
        asyncio.run(main())
