"""Records with which filtered listings are tested: fields of any kind, or none, and things that are no records."""

from __future__ import annotations

import random
from typing import Any

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
