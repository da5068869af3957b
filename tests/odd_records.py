"""Records with which filtered listings are tested: fields of any kind, or none, and things that are no records."""

from __future__ import annotations

import random
from typing import Any

from ad_seller.storage import Index, StorageBackend
from ad_seller.storage.records.filters import matches
from ad_seller.storage.seller.kinds import FIELDS, PREFIXES, conditions

#: An index for each field that a listing can be asked for.
EVERY_FIELD = tuple(Index(kind, ".".join(path)) for kind, fields in FIELDS.items() for path in fields.values())

ODD = [
    "",
    " ",
    "open",
    "Open",
    "öffen",
    "\0",
    "a\0b",
    "\x01",
    "'",
    '"',
    "\\",
    "%",
    "null",
    "1",
    "x" * 5000,
    "😀" * 700,
]


def some_record(choose: random.Random) -> Any:
    """A record, or what was stored in its place by mistake."""

    def value() -> Any:
        return choose.choice(
            [choose.choice(ODD), choose.choice(ODD), "open", None, 1, True, 1.5, [], {"a": "open"}]
        )

    record: dict[str, Any] = {"note": choose.choice(["", "\0", "x"])}
    for field in ("status", "buyer_id", "order_id", "product"):
        if choose.random() < 0.8:
            record[field] = value()
    if choose.random() < 0.8:
        record["product"] = {"product_id": value(), "name": value()}
    return choose.choice([record, record, record, record, [record], "open", None, 7])


async def listed(storage: StorageBackend, entity: str, filters: dict[str, Any], **more: Any) -> list[Any]:
    """What the listing of this kind of record finds."""
    found: list[Any] = await getattr(storage, f"list_{entity}s")(filters, **more)
    return found


async def check_filters(storage: StorageBackend, entity: str, seed: int) -> None:
    """Filtered listings find what a filter over all records finds."""
    choose = random.Random(seed)
    everything_open = {"status": "open", "buyer_id": "open", "order_id": "open", "product": {"product_id": "open"}}
    records = {PREFIXES[entity]: everything_open}  # the least key of this kind
    records |= {f"{PREFIXES[entity]}{n:03}": some_record(choose) for n in range(200)}
    await storage.set_many(records)
    await storage.set_many({f"{PREFIXES[entity][:-1]};": {"status": "open"}, "deal:1": {"status": "open"}})
    wanted: list[Any] = [*ODD, None, 1, True, 1.0, [], {"a": "open"}, "\ud800"]
    chosen = [{name: choose.choice(wanted) for name in FIELDS[entity] if choose.random() < 0.7} for _ in range(40)]
    for filters in [*({name: "open"} for name in FIELDS[entity]), *chosen]:
        where = conditions(entity, filters)
        expected = [record for record in records.values() if matches(record, where)]
        assert await listed(storage, entity, filters) == expected, filters
