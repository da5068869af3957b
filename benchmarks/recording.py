"""A recorded day of a seller agent, as calls."""

from __future__ import annotations

import gzip
import json
import os
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

#: The recording is no part of this repository; without it, the workload is left out.
PATH = Path(os.environ.get("SELLER_DAY", Path(__file__).parents[2] / "shared" / "data" / "seller-day.jsonl.gz"))


class Recorded(NamedTuple):
    """One call of the recording; ``right`` tells whether the answer is the recorded one."""

    key: str
    method: str
    arguments: tuple[Any, ...]
    right: Callable[[Any], bool]


@cache
def recorded() -> list[Recorded]:
    with gzip.open(PATH, "rt") as lines:
        return [_call(json.loads(line)) for line in lines]


def _call(line: dict[str, Any]) -> Recorded:
    match line["op"]:
        case "get":
            hit = line["hit"]
            return Recorded(line["key"], "get", (line["key"],), lambda answer: (answer is not None) == hit)
        case "delete":
            hit = line["hit"]
            return Recorded(line["key"], "delete", (line["key"],), lambda answer: answer == hit)
        case "keys":
            prefix, found = line["pattern"].removesuffix("*"), line["found"]
            return Recorded("", "keys", (prefix,), lambda answer: len(answer) == found)
    arguments = (line["key"], line["value"], *([line["ttl"]] if line.get("ttl") else []))
    return Recorded(line["key"], "set", arguments, lambda _: True)
