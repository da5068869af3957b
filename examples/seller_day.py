"""A seller's day: an ad seller agent serves many buyer agents at once, on one new SQLite file.

Run it with ``make demo``, or ``python examples/seller_day.py --help``. It reads from top to bottom:

1. the seller opens the shop: products, packages, a media kit;
2. every buyer agent registers, asks questions, negotiates a quote, books it, follows its order and changes it;
3. eight buyers reach for the same quote at the same moment, and exactly one gets it; a key is revoked in use;
4. the file is closed, opened again, and compared with every write that was acknowledged.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import shlex
import sqlite3
import sys
import time
import uuid
from collections.abc import Awaitable, Callable, Coroutine
from contextlib import closing, suppress
from datetime import UTC, datetime
from itertools import count, pairwise
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.progress import Progress
from rich.table import Table

from ad_seller.storage import (
    DELETE,
    PREFIXES,
    TTL,
    StorageBackend,
    StorageError,
    Transaction,
    encode,
    open_url,
)
from ad_seller.storage.sqlite_backend import SQLiteBackend

T = TypeVar("T")
Record = dict[str, Any]
Work = Callable[[Transaction], Awaitable[Any]]

PRODUCTS = {"inv-ctv-sports-preroll": 28.0, "inv-ctv-news-preroll": 24.5, "inv-video-web-preroll": 15.0}
QUESTIONS = ("What CTV inventory do you have?", "What does the pre-roll cost?", "Is January available?")
ORDER_PATH = ("draft", "submitted", "pending_approval", "approved", "in_progress", "syncing", "booked")
CHANGE_PATH = ("pending", "validating", "pending_approval", "approved", "applied")
WEEK = 7 * 86_400
RIVALS = 8
API_KEY = "api_key:demo"
USES = 40
RECORDED_DAY = Path("../shared/data/seller-day.jsonl.gz")


# --- 1. The shop -------------------------------------------------------------------------------------------


async def open_shop(storage: StorageBackend) -> None:
    """Store the catalogue. Every kind of record has its helpers; ``set_product`` writes ``product:{id}``."""
    for product_id, cpm in PRODUCTS.items():
        product = {"product_id": product_id, "inventory_type": "ctv", "base_cpm": cpm, "floor_cpm": cpm * 0.85}
        await storage.set_product(product_id, product)
        package_id = new_id("pkg-")
        package = {"package_id": package_id, "placements": [{"product_id": product_id, "weight": 1.0}]}
        await storage.set_package(package_id, package | {"base_price": cpm, "currency": "USD"})
    await storage.set_media_kit("default", {"org_id": "default", "name": "Demo Publisher", "updated_at": now()})


# --- 2. One buyer ------------------------------------------------------------------------------------------


async def serve_buyer(storage: StorageBackend, number: int) -> None:
    """Do everything for one buyer agent; `live_the_day` runs this for all buyers at once."""
    pricing_key = f"advertiser:adv-{number % 8}"  # several agents buy for one advertiser
    agent_id = await register(storage, f"https://buyer-{number}.example.com")
    await talk(storage, agent_id, pricing_key)
    quote_id = await offer_quote(storage, list(PRODUCTS)[number % len(PRODUCTS)], pricing_key)
    await negotiate(storage, quote_id)
    # The buyer sends the request twice, as clients do when an answer is late. It is one booking all the same.
    deal_id, _ = await asyncio.gather(*(book(storage, quote_id, agent_id) for _ in range(2)))
    if deal_id is not None:
        order_id = await fulfil(storage, deal_id, quote_id)
        await change_order(storage, order_id, impressions=2_500_000)


async def register(storage: StorageBackend, url: str) -> str:
    """Store the agent and lead its URL to it, both or neither; return the id that the URL leads to."""
    agent_id = new_id("agent-")
    agent = {"agent_id": agent_id, "agent_card": {"url": url}, "registered_at": now()}
    return await storage.register_agent(agent_id, agent, url)


async def talk(storage: StorageBackend, agent_id: str, pricing_key: str) -> None:
    """Open a session, and answer all questions at once: ``update_session`` loses none of the messages."""
    session_id = str(uuid.uuid4())
    session: Record = {"session_id": session_id, "status": "active", "agent_id": agent_id, "messages": []}
    await storage.set_session(session_id, session, ttl=WEEK)
    await storage.add_session_to_buyer_index(session_id, pricing_key)

    async def answer(question: str) -> None:
        exchange = [{"role": "user", "content": question}, {"role": "assistant", "content": "Let me look."}]
        await storage.update_session(
            session_id, lambda stored: stored | {"messages": stored["messages"] + exchange}
        )

    await asyncio.gather(*map(answer, QUESTIONS))


async def offer_quote(storage: StorageBackend, product_id: str, buyer_id: str) -> str:
    """Store a quote. It is gone after 24 hours, unless ``ttl=…`` says something else."""
    quote_id, product = new_id("qt-"), await storage.get_product(product_id) or {}
    quote: Record = {"quote_id": quote_id, "status": "available", "buyer_id": buyer_id, "created_at": now()}
    quote |= {"product": product, "pricing": {"final_cpm": product.get("base_cpm"), "currency": "USD"}}
    await storage.set_quote(quote_id, quote)
    return quote_id


async def negotiate(storage: StorageBackend, quote_id: str) -> None:
    """Answer three offers. The round's number comes from what is stored at that moment, so none comes twice."""
    price = ((await storage.get_quote(quote_id)) or {})["pricing"]["final_cpm"]
    negotiation: Record = {"proposal_id": quote_id, "status": "active", "rounds": []}
    await storage.set_negotiation(quote_id, negotiation)

    def answer(offer: float) -> Callable[[Record], Record]:
        def change(stored: Record) -> Record:
            status, reply = ("accepted", offer) if offer >= 0.9 * price else ("active", price)
            number = len(stored["rounds"]) + 1
            round_ = {"round_number": number, "buyer_price": offer, "seller_price": reply, "timestamp": now()}
            return stored | {"status": status, "rounds": [*stored["rounds"], round_]}

        return change

    for share in (0.7, 0.8, 0.9):
        negotiation = await storage.update_negotiation(quote_id, answer(share * price))
    final = {"final_cpm": negotiation["rounds"][-1]["seller_price"], "currency": "USD"}
    await storage.update_quote(quote_id, with_(pricing=final))


async def book(storage: StorageBackend, quote_id: str, agent_id: str) -> str | None:
    """Turn the quote into a deal, or return None if somebody else has it.

    What a transaction writes takes effect together, and only if nothing that it read has changed meanwhile;
    otherwise ``run_once`` runs the work again. It also records the answer in the same commit: whoever sends the
    request again gets the same deal. The quote's expiry stays as it was.
    """

    async def work(tx: Transaction) -> str | None:
        quote = await tx.get_quote(quote_id)
        if quote is None or quote["status"] != "available":
            return None
        deal_id, event_id = new_id("DEMO-").upper(), str(uuid.uuid4())
        deal = {"deal_id": deal_id, "deal_type": "PD", "status": "confirmed", "impressions": 2_000_000}
        await tx.set_deal(deal_id, deal | {"quote_id": quote_id, "agent_id": agent_id, "created_at": now()})
        await tx.update_quote(quote_id, with_(status="booked", booked_by=agent_id, deal_id=deal_id))
        event = {"event_id": event_id, "event_type": "deal.booked", "deal_id": deal_id, "timestamp": now()}
        await tx.set(f"event:{event_id}", event)
        return deal_id

    deal_id: str | None = await storage.run_once(f"book:{agent_id}", quote_id, {"quote_id": quote_id}, work)
    return deal_id


async def fulfil(storage: StorageBackend, deal_id: str, quote_id: str) -> str:
    """Take an order through its states; each step checks that it is allowed and leaves an audit entry."""
    order_id = new_id("ORD-").upper()
    order = {"order_id": order_id, "status": ORDER_PATH[0], "deal_id": deal_id, "quote_id": quote_id}
    await storage.set_order(order_id, order | {"metadata": {"impressions": 2_000_000}})
    for current, following in pairwise(ORDER_PATH):
        await storage.transition_order(order_id, following, actor="seller-day", expect=current)
    return order_id


async def change_order(storage: StorageBackend, order_id: str, impressions: int) -> None:
    """Take a change request through its states; before the last one, it is applied to the order."""
    request_id = new_id("CR-").upper()
    request = {"change_request_id": request_id, "order_id": order_id, "status": CHANGE_PATH[0]}
    await storage.set_change_request(request_id, request | {"proposed_values": {"impressions": impressions}})
    for status in CHANGE_PATH[1:]:
        if status == "applied":
            await storage.update_order(order_id, with_(metadata={"impressions": impressions}))
        await storage.transition_change_request(request_id, status, actor="seller-day")


def with_(**fields: Any) -> Callable[[Record], Record]:
    """Return the change that sets these fields and leaves the others as they are at that moment."""
    return lambda record: record | fields


# --- 3. The dangerous moment -------------------------------------------------------------------------------


async def contest(storage: StorageBackend) -> tuple[str, list[str]]:
    """Let several buyers book one quote at the same moment; return it, and the deals that were made."""
    quote_id = await offer_quote(storage, next(iter(PRODUCTS)), "advertiser:adv-0")
    answers = await asyncio.gather(*(book(storage, quote_id, f"rival-{n}") for n in range(RIVALS)))
    return quote_id, [deal_id for deal_id in answers if deal_id is not None]


async def revoke_in_use(storage: StorageBackend) -> None:
    """Revoke an API key while many requests count their use of it: neither change undoes the other."""
    await storage.set(API_KEY, {"key_id": API_KEY, "revoked": False, "use_count": 0})
    uses = (storage.update(API_KEY, lambda key: key | {"use_count": key["use_count"] + 1}) for _ in range(USES))
    await asyncio.gather(*uses, storage.update(API_KEY, with_(revoked=True)))


# --- 4. What was promised, and what is there ---------------------------------------------------------------


class ObservedStorage(SQLiteBackend):
    """The SQLite backend; it also notes every acknowledged write, and how long each call took."""

    def __init__(self, url: str) -> None:
        super().__init__(url)
        self.acknowledged: dict[str, bytes] = {}  # what each key must hold, as JSON text
        self.writes = 0
        self.milliseconds: dict[str, list[float]] = {}

    async def get(self, key: str) -> Any | None:
        return await self._timed("read", super().get(key))

    async def set(self, key: str, value: Any, ttl: TTL | None = None) -> None:
        await self._timed("write", super().set(key, value, ttl))
        self._note(key, value)

    async def update(self, key: str, change: Callable[[Any], Any], **options: Any) -> Any:
        value = await self._timed("change", super().update(key, change, **options))
        self._note(key, value)
        return value

    async def register_agent(self, agent_id: str, data: Record, url: str) -> str:
        known = await super().register_agent(agent_id, data, url)
        if known == agent_id:
            self._note(f"agent:{agent_id}", data)
            self._note(f"agent_url_index:{url}", agent_id)
        return known

    async def run_once(self, scope: str, key: str, request: Any, work: Work, *args: Any, **options: Any) -> Any:
        """Note what the run that took effect has written, and the record that it leaves."""
        written: dict[str, Any] = {}

        async def observed(tx: Transaction) -> Any:
            written.clear()  # of a run that met a conflict
            result = await work(tx)
            written.update({key: value for key, value in tx.changes.items() if value is not DELETE})
            return result

        result = await self._timed("run once", super().run_once(scope, key, request, observed, *args, **options))
        record = f"idempotency:{scope}:{key}"
        if record not in self.acknowledged:
            self._note(record, await super().get(record))
        for name, value in written.items():
            self._note(name, value)
        return result

    def _note(self, key: str, value: Any) -> None:
        self.acknowledged[key] = encode(value)
        self.writes += 1

    async def _timed(self, kind: str, call: Coroutine[Any, Any, T]) -> T:
        began = time.perf_counter()
        try:
            return await call
        finally:
            self.milliseconds.setdefault(kind, []).append(1000 * (time.perf_counter() - began))


class Day(NamedTuple):
    """What the seller remembers of the day."""

    buyers: int
    storage: ObservedStorage
    seconds: float
    contested: str
    winners: list[str]


class Found(NamedTuple):
    """What the file holds: the values, and the seconds that each entry has left."""

    values: Record
    left: dict[str, float | None]


async def live_the_day(url: str, buyers: int) -> Day:
    """Open the shop, serve all buyers at once, close the file."""
    began = time.perf_counter()
    with Progress(console=Console(stderr=True), disable=not sys.stderr.isatty(), transient=True) as bar:
        task = bar.add_task("Serving buyers", total=buyers)

        async def serve(number: int) -> None:
            await serve_buyer(storage, number)
            bar.advance(task)

        async with ObservedStorage(url) as storage:
            await open_shop(storage)
            await asyncio.gather(*map(serve, range(buyers)))
            contested, winners = await contest(storage)
            await revoke_in_use(storage)
    return Day(buyers, storage, time.perf_counter() - began, contested, winners)


async def read_back(url: str) -> Found:
    """Open the file anew and read everything; a value that cannot be decoded counts as lost."""
    async with open_url(url) as storage:
        values = dict((await storage.scan(on_corrupt=lambda error: None)).items)
        left = await asyncio.gather(*map(storage.ttl, values))
    return Found(values, dict(zip(values, left, strict=True)))


def compare(day: Day, found: Found) -> dict[str, bool]:
    """Compare what is stored with what was acknowledged, and with what a seller relies on."""

    promised = day.storage.acknowledged
    intact = {key: value for key, value in found.values.items() if promised.get(key) == encode(value)}

    def records(prefix: str) -> list[Any]:
        return [value for key, value in intact.items() if key.startswith(prefix)]

    sessions = {session["session_id"]: len(session["messages"]) for session in records("session:")}
    indexed = [session_id for ids in records("session_index:") for session_id in ids]
    rounds = [[r["round_number"] for r in negotiation["rounds"]] for negotiation in records("negotiation:")]
    trails = [[s["to_status"] for s in order["audit_log"]["transitions"]] for order in records("order:")]
    booked = intact.get(f"quote:{day.contested}", {}).get("deal_id")
    return {
        "every acknowledged write is there": intact.keys() == promised.keys(),
        "nothing else is stored": found.values.keys() <= promised.keys(),
        "every message of every session is there": [*sessions.values()] == [2 * len(QUESTIONS)] * day.buyers,
        "the index of sessions holds each of them once": sorted(indexed) == sorted(sessions),
        "the rounds of each negotiation are 1, 2, 3": rounds == [[1, 2, 3]] * day.buyers,
        "every order is booked, with its whole audit trail": trails == [[*ORDER_PATH[1:]]] * day.buyers,
        f"{RIVALS} buyers wanted one quote at once, exactly one got it": day.winners == [booked],
        "a key that was revoked while in use stays revoked": [
            (key["revoked"], key["use_count"]) for key in records(API_KEY)
        ]
        == [(True, USES)],
        "every booking was sent twice, and made once": len(records("deal:")) == day.buyers + 1,
        "quotes expire within 24 h, sessions within a week": all(map(in_time, found.left, found.left.values())),
    }


def in_time(key: str, left: float | None) -> bool:
    limit = {"quote": 86_400, "idempotency": 86_400, "session": WEEK}.get(key.partition(":")[0])
    return left is None if limit is None else left is not None and 0 < left <= limit


def undamaged(path: Path) -> bool:
    """Ask SQLite itself, without this library."""
    with closing(sqlite3.connect(path)) as db, suppress(sqlite3.DatabaseError):
        return bool(db.execute("PRAGMA integrity_check").fetchone() == ("ok",))
    return False


# --- The report --------------------------------------------------------------------------------------------


def summarise(path: Path, day: Day, found: Found, checks: dict[str, bool]) -> Record:
    """Return everything that is reported, as JSON."""
    calls = sum(map(len, day.storage.milliseconds.values()))
    prefixes = [*PREFIXES.values(), "session_index:buyer:", "agent_url_index:"]
    prefixes += ["event:", "idempotency:", "api_key:"]
    return {
        "ok": all(checks.values()),
        "checks": checks,
        "database": str(path),
        "file_bytes": path.stat().st_size,
        "buyers": day.buyers,
        "seconds": round(day.seconds, 3),
        "calls": calls,
        "calls_per_second": round(calls / day.seconds),
        "acknowledged_writes": day.storage.writes,
        "keys_checked": len(day.storage.acknowledged),
        "latency": {kind: latency(times) for kind, times in day.storage.milliseconds.items()},
        "stored": {prefix: row for prefix in prefixes if (row := describe(prefix, found))},
    }


def latency(milliseconds: list[float]) -> Record:
    ordered = sorted(milliseconds)
    p50, p99 = (round(ordered[int(len(ordered) * part)], 2) for part in (0.5, 0.99))
    return {"calls": len(ordered), "p50_ms": p50, "p99_ms": p99}


def describe(prefix: str, found: Found) -> Record | None:
    keys = [key for key in found.values if key.startswith(prefix)]
    ttls = [left for key in keys if (left := found.left[key]) is not None]
    size = sum(len(encode(found.values[key])) for key in keys)
    expires = [round(min(ttls)), round(max(ttls))] if ttls else None
    return {"entries": len(keys), "bytes": size, "expires_in_s": expires, "example": keys[0]} if keys else None


def show(report: Record, console: Console) -> None:
    """Print the report for people."""
    stored = Table("prefix", "entries", "bytes", "expires in", "example", title="What is stored", box=SIMPLE_HEAD)
    for prefix, row in report["stored"].items():
        expires = row["expires_in_s"]
        hours = "never" if expires is None else " to ".join(dict.fromkeys(f"{s / 3600:.0f} h" for s in expires))
        example = row["example"].removeprefix(prefix)
        stored.add_row(prefix, f"{row['entries']:,}", f"{row['bytes']:,}", hours, example)
    speed = Table("call", "how many", "p50", "p99", title="How long it took", box=SIMPLE_HEAD)
    for kind, row in report["latency"].items():
        speed.add_row(kind, f"{row['calls']:,}", f"{row['p50_ms']} ms", f"{row['p99_ms']} ms")
    console.print(stored, speed)
    console.print(
        f"{report['buyers']:,} buyers at once: {report['calls']:,} calls in {report['seconds']:.2f} s, "
        f"{report['calls_per_second']:,} a second.\n"
        f"{report['database']}, {report['file_bytes'] / 1024:,.0f} KiB, was closed and opened again, and "
        f"{report['keys_checked']:,} keys compared with {report['acknowledged_writes']:,} acknowledged writes:",
        soft_wrap=True,
    )
    for claim, ok in report["checks"].items():
        console.print("  [green]ok   [/]" if ok else "  [bold red]WRONG[/]", claim)


def show_next_steps(report: Record, console: Console) -> None:
    """Print commands that work as they stand."""
    program, path = Path(sys.executable).parent / "ad-seller-storage", Path(report["database"])
    tool = f"{shown(program)} --url {shlex.quote(f'sqlite:///{shown(path)}')}"
    quote = report["stored"].get("quote:", {}).get("example", "quote:")
    steps = [f"{tool} list orders --limit 3", f"{tool} ttl {quote}", f"{tool} keys 'deal:*'"]
    if RECORDED_DAY.is_file():
        steps.append(f"{shown(program)} --url memory:// replay {RECORDED_DAY}")
    if Path("Makefile").is_file():
        steps.append("make test")
    console.print("\nWhat to type next:", *(f"  {step}" for step in steps), sep="\n", soft_wrap=True)


def shown(path: Path) -> str:
    """Return the path as short as it can be typed here."""
    path, here = path.absolute(), Path.cwd()
    return str(path.relative_to(here) if path.is_relative_to(here) else path)


# --- The program -------------------------------------------------------------------------------------------


def parse(argv: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--database", type=Path, metavar="PATH", help="the new SQLite file (./demo-output/…)")
    parser.add_argument("--buyers", type=int, default=50, metavar="N", help="how many buyer agents (50)")
    parser.add_argument("--keep", action=argparse.BooleanOptionalAction, default=True, help="leave the file (yes)")
    parser.add_argument("--json", action="store_true", help="print one JSON object on standard output")
    arguments = parser.parse_args(argv)
    if arguments.buyers < 1:
        parser.error("--buyers is at least 1")
    return arguments


def new_file(wanted: Path | None) -> Path:
    """Return where the database goes; an existing file is never touched."""
    if wanted is None:
        folder = Path("demo-output")
        folder.mkdir(exist_ok=True)
        return next(path for n in count(1) if not (path := folder / f"seller-day-{n}.db").exists())
    if wanted.exists():
        raise FileExistsError(f"{wanted} is already there; name a new file, and this one stays as it is")
    return wanted


def remove(path: Path) -> None:
    for name in (path, Path(f"{path}-wal"), Path(f"{path}-shm")):
        name.unlink(missing_ok=True)


async def main(argv: list[str] | None = None) -> int:
    """Run the demonstration; return 0, 1 if a check fails, or 2 if it cannot start."""
    arguments = parse(argv)
    console = Console(stderr=arguments.json, highlight=False)
    try:
        path = new_file(arguments.database)
        url = f"sqlite:///{path}"
        day = await live_the_day(url, arguments.buyers)
        found = await read_back(url)
    except (OSError, StorageError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    checks = compare(day, found) | {"SQLite finds no damage in the file": undamaged(path)}
    report = summarise(path, day, found, checks)
    show(report, console)
    if arguments.keep:
        show_next_steps(report, console)
    else:
        remove(path)
    if arguments.json:
        print(json.dumps(report))
    return 0 if report["ok"] else 1


def now() -> str:
    return datetime.now(UTC).isoformat()


def new_id(prefix: str) -> str:
    return prefix + uuid.uuid4().hex[:12]


if __name__ == "__main__":
    raise SystemExit(asyncio.run(main()))
