"""The entries that every contender stores: the same keys, the same values."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

Value = dict[str, Any]

#: Bytes of a value as compact JSON.
SIZES = {"s": 218, "m": 1_400, "l": 20_000}

#: Entries of each size that get and set work on.
WORK = {"s": 2_048, "m": 1_024, "l": 512}

ORDERS = 1_000  #: entries that a listing finds, of size m
COUNTERS = 512  #: entries that update and transactions work on
FIRST_REVISION = 1_000_000

MATCHES = 100  #: orders that the filtered listing finds ...
FILTERED = 100_000  #: ... among so many
WANTED = "pending_approval"
STATUSES = ("draft", "submitted", WANTED, "booked", "completed")

ORDER_PREFIX = "order:"

#: The prefixes of a recorded day (see `recording`), how often each was read and written of 8,900 times, and the
#: size that comes nearest to its records.
DAY = (
    ("api_key", 1008, 890, "s"), ("change_request", 1110, 111, "m"), ("event_index", 555, 555, "s"),
    ("order", 632, 226, "s"), ("event", 366, 359, "s"), ("session", 386, 196, "m"), ("idempotency", 235, 190, "s"),
    ("agent", 254, 91, "s"), ("deal", 217, 77, "m"), ("negotiation", 160, 122, "m"),
    ("agent_url_index", 121, 91, "s"), ("quote", 121, 76, "s"), ("api_key_index", 156, 39, "s"),
)  # fmt: skip
DAY_IDS = 16  #: records under each of them


def work_key(size: str, i: int) -> str:
    return f"bench:{size}:{i:07}"


def counter_key(i: int) -> str:
    return f"counter:{i:07}"


def order_key(i: int) -> str:
    return f"{ORDER_PREFIX}ORD-{i:07}"


def record_key(prefix: str, i: int) -> str:
    """A record that a workload makes, and removes when it is over."""
    return f"{prefix}:made-{i:07}"


def record(key: str, i: int) -> Value:
    """A small record whose status differs from that of its neighbours."""
    return {**value(key, "s", FIRST_REVISION + i), "status": STATUSES[i % len(STATUSES)]}


def filler_key(i: int) -> str:
    return f"quote:qt-{i:07}"


def value(key: str, size: str, revision: int = FIRST_REVISION) -> Value:
    return {"id": key, "rev": revision, **_BODIES[size]}


def _body(size: str) -> Value:
    """A record as sellers have them: some fields and, where there is room, a history of events."""
    body: Value = {
        "status": "active",
        "buyer_id": "agency-ttd-4711",
        "cpm": 12.5,
        "impressions": 250_000,
        "guaranteed": True,
        "parent": None,
        "events": [],
        "note": "",
    }
    event = {
        "at": "2026-11-23T07:27:43.525642",
        "from": "draft",
        "to": "submitted",
        "actor": "buyer-agent",
        "cpm": 12.5,
    }
    while _length(body) + _length(event) + 60 < SIZES[size]:
        body["events"].append(event)
    body["note"] = "n" * (SIZES[size] - _length(body))
    return body


def _length(part: Value) -> int:
    return len(json.dumps({"id": work_key("s", 0), "rev": FIRST_REVISION, **part}, separators=(",", ":")))


_BODIES = {size: _body(size) for size in SIZES}


def growth(start: int, stop: int) -> Iterator[tuple[str, Value]]:
    """The entries by which a store grows from ``start`` to ``stop``; what get and set use comes with the first."""
    if start == 0:
        for size, count in WORK.items():
            yield from ((key, value(key, size)) for key in (work_key(size, i) for i in range(count)))
        yield from ((key, {"id": key, "n": 0}) for key in map(counter_key, range(COUNTERS)))
        yield from ((key, value(key, "m")) for key in map(order_key, range(ORDERS)))
    yield from ((key, value(key, "s")) for key in map(filler_key, range(max(start - ORDERS, 0), stop - ORDERS)))


def orders(count: int = FILTERED) -> Iterator[tuple[str, Value]]:
    """Many small orders, a few of which are wanted."""
    step = count // MATCHES
    for i in range(count):
        key = order_key(i)
        yield key, {**value(key, "s"), "status": WANTED if i % step == 0 else "completed"}
