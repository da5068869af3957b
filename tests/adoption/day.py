"""A seller's day over HTTP: many buyers, step by step, and what was answered."""

from __future__ import annotations

import json
import re
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Protocol

from tests.adoption.environment import FailedError

BUYERS = 8
Answers = list[tuple[str, int, Any]]

_ID = re.compile(r"\b(qt-|DEMO-|ORD-|CR-|sess-|key-|agent-|apr-|evt-|vt-)[0-9a-fA-F]{12}\b")
_TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d[.\d]*(\+00:00|Z)?")


class Agent(Protocol):
    """Who is asked."""

    def call(self, name: str, /, **arguments: Any) -> tuple[int, Any]: ...

    def get(self, path: str, **query: Any) -> tuple[int, Any]: ...


class Day:
    """One day; `answers` holds every answer, with names instead of ids and times."""

    def __init__(self, agent: Agent, name: str) -> None:
        self._agent = agent
        self._name = name
        self._names: dict[str, str] = {}
        self._ids: dict[str, str] = {}
        self.answers: Answers = []

    def run(self) -> Answers:
        """Let all buyers do one step after the other."""
        self._house()
        buyers = [f"{self._name}-buyer-{number}" for number in range(BUYERS)]
        for step in (self._arrive, self._talk, self._quote, self._haggle, self._book, self._order, self._change):
            for buyer in buyers:
                step(buyer)
        self._evening(buyers)
        return self.answers

    def _ask(self, name: str, /, **arguments: Any) -> Any:
        return self._keep(name, *self._agent.call(name, **arguments))

    def _look(self, path: str, **query: Any) -> Any:
        return self._keep(f"GET {path}", *self._agent.get(path, **query))

    def _keep(self, name: str, status: int, body: Any) -> Any:
        if status >= 500:
            raise FailedError(f"{name} ended with {status}: {body}")
        self.answers.append((self._masked(name), status, _ordered(json.loads(self._masked(json.dumps(body))))))
        return body

    def _masked(self, text: str) -> str:
        """Give each id the name that it got when it was first seen in an answer of its own, else its kind only."""
        return _TIME.sub("TIME", _ID.sub(lambda match: self._names.get(match[0], match[1] + "*"), text))

    def _named(self, answer: Any, field: str, name: str) -> str:
        """Take an id out of an answer; from now on it is shown as this name."""
        identity: str = answer[field]
        self._names.setdefault(identity, f"{field} of {name}")
        return identity

    def _house(self) -> None:
        for product in ("display", "video", "ctv"):
            self._ask("set_product", product_id=product, name=product.title(), cpm=12.5)
        self._ask("override", product_id="ctv", cpm=31.0)
        self._ask("override", product_id="nothing", cpm=31.0)
        self._ask("set_rates", changes={"display": 12.5, f"{self._name}": [1, 2.0, None, "ü€"]})
        self._ask("synchronise")

    def _arrive(self, buyer: str) -> None:
        for _ in range(2):
            self._ask("register", url=f"https://{buyer}.example/", name=buyer)
        key = self._ask("make_key", secret=f"secret of {buyer}", label=buyer)
        self._named(key, "key_id", buyer)
        self._ask("use_key", secret=f"secret of {buyer}")
        self._ask("use_key", secret="a guess")

    def _talk(self, buyer: str) -> None:
        for _ in range(2):
            session = self._named(self._ask("open_session", buyer_key=buyer), "session_id", buyer)
            for text in ("hello", "what have you got?"):
                self._ask("say", session_id=session, text=text)
        self._ask("say", session_id="sess-none", text="anybody?")
        self._look("/sessions", buyer_key=buyer)

    def _quote(self, buyer: str) -> None:
        for key, product in (
            ("one", "display"),
            ("one", "display"),
            ("one", "video"),
            ("two", "ctv"),
            ("three", "none"),
        ):
            quote = self._ask("make_quote", buyer_id=buyer, product_id=product, idempotency_key=key)
            if "quote_id" in quote:
                self._named(quote, "quote_id", f"{buyer} {key}")
                self._ids[f"{buyer} {key}"] = quote["quote_id"]

    def _haggle(self, buyer: str) -> None:
        for cpm in (20.0, 29.0, 30.0):
            self._ask("counter", quote_id=self._ids[f"{buyer} two"], cpm=cpm)

    def _book(self, buyer: str) -> None:
        for key, quote in (("a", "one"), ("a", "one"), ("b", "one"), ("a", "two"), ("c", "two")):
            deal = self._ask("book", quote_id=self._ids[f"{buyer} {quote}"], buyer_id=buyer, idempotency_key=key)
            if "deal_id" in deal:
                self._named(deal, "deal_id", f"{buyer} {key}")
                self._ids[f"{buyer} deal {key}"] = deal["deal_id"]
        self._look("/proof", buyer_id=buyer, product_id="display", cpm=12.5)
        self._look("/proof", buyer_id=buyer, product_id="display", cpm=1.5)

    def _order(self, buyer: str) -> None:
        order = self._named(self._ask("open_order", deal_id=self._ids[f"{buyer} deal a"]), "order_id", buyer)
        self._ids[f"{buyer} order"] = order
        for to in ("approved", "submitted", "approved"):
            self._ask("move_order", order_id=order, to=to, actor=buyer)

    def _change(self, buyer: str) -> None:
        order = self._ids[f"{buyer} order"]
        request = self._named(self._ask("ask_change", order_id=order, changes={"budget": 7000}), "cr_id", buyer)
        self._ask("apply_change", cr_id=request)
        self._ask("apply_change", cr_id=request)
        self._look(f"/records/order/{order}")
        approval = self._named(self._ask("ask_approval", subject=order), "approval_id", buyer)
        self._ask("approve", approval_id=approval)

    def _evening(self, buyers: list[str]) -> None:
        key = next(identity for identity, name in self._names.items() if name == f"key_id of {buyers[0]}")
        self._ask("revoke_key", key_id=key)
        self._ask("use_key", secret=f"secret of {buyers[0]}")
        for kind in ("products", "quotes", "deals", "orders", "change_requests", "agents", "sessions"):
            self._look(f"/lists/{kind}")
        self._look("/lists/orders", status="approved")
        self._look("/lists/quotes", status="booked")
        self._look("/lists/change_requests", status="pending")
        for kind in ("quote.created", "deal.booked", "order.approved", "agent.registered"):
            self._look(f"/events/{kind}")
        self._look("/newest")


def _ordered(value: Any) -> Any:
    """Return a value whose lists are in an order of their own; two backends may give them in another."""
    if isinstance(value, list):
        return sorted((_ordered(each) for each in value), key=lambda each: json.dumps(each, sort_keys=True))
    if isinstance(value, dict):
        return {name: _ordered(each) for name, each in value.items()}
    return value


def differences(before: Answers, after: Answers) -> list[str]:
    """Say where two days differ."""
    found = [
        f"{old[0]}: {json.dumps(old[1:])[:600]} became {json.dumps(new[1:])[:600]}"
        for old, new in zip(before, after, strict=False)
        if old != new
    ]
    return found if len(before) == len(after) else [*found, f"{len(before)} answers became {len(after)}"]


def race(agent: Agent, name: str, call: str) -> int:
    """Let many buyers book one quote at once, and return how many deals came out."""
    _, quote = agent.call("make_quote", buyer_id=name, product_id="display", idempotency_key=f"race {call}")

    def book(number: int) -> tuple[int, Any]:
        return agent.call(call, quote_id=quote["quote_id"], buyer_id=f"{name}-{number}", idempotency_key="race")

    with ThreadPoolExecutor(BUYERS) as threads:
        answers = list(threads.map(book, range(BUYERS)))
    unknown = [answer for answer in answers if answer[0] not in (200, 409)]
    if unknown:
        raise FailedError(f"Booking one quote at once answered {unknown[0]}")
    return len({body["deal_id"] for status, body in answers if status == 200})
