"""What an index of a field would cost Redis: ``python benchmarks/redis_field_index.py``.

The script that stores 64 entries and keeps the index of names, against the same with an index of one field of the
records beside it: the new text is read for its field, and the old one, so that the old entry of the index goes.
Microseconds of the server for each entry (``INFO commandstats``), as nothing else on the machine disturbs them;
the median of the rounds, new and changed records of 218 B apart.
"""

from __future__ import annotations

import json
import statistics
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import redis

from ad_seller.storage.redis.scripts import PUTS
from ad_seller.storage.testing.servers import RedisServer

BATCH, ROUNDS, RECORDS = 64, 60, 20_000

#: KEYS and ARGV as for `PUTS`; the index of the field is named after that of the names.
WITH_FIELD = """
local index = KEYS[#KEYS] .. ':status'
for i = 3, #ARGV do
  local key = KEYS[i - 2]
  local old = redis.call('GET', key)
  local was, now = nil, nil
  if old then
    local ok, record = pcall(cjson.decode, old)
    if ok and type(record) == 'table' then was = record['status'] end
  end
  local ok, record = pcall(cjson.decode, ARGV[i])
  if ok and type(record) == 'table' then now = record['status'] end
  if was ~= now then
    if type(was) == 'string' then redis.call('ZREM', index, was .. '\\0' .. key) end
    if type(now) == 'string' then redis.call('ZADD', index, 0, now .. '\\0' .. key) end
  end
end
"""


def quote(number: int, status: str) -> str:
    record = {"quote_id": f"qt-{number:012}", "status": status, "buyer_id": f"b{number % 50}", "cpm": 4.5}
    return json.dumps(record | {"notes": "x" * 110})


def server_us(client: Any) -> float:
    stats = client.info("commandstats")
    return float(stats.get("cmdstat_evalsha", {}).get("usec", 0))


def measure(client: Any, sha: str, numbers: list[int], status: Callable[[int], str]) -> float:
    """Return the server's microseconds for each entry."""
    keys = [f"ad_seller:quote:qt-{number:012}" for number in numbers]
    before = server_us(client)
    client.evalsha(sha, len(keys) + 1, *keys, "ad_seller:\0index", 0, 1, *(quote(n, status(n)) for n in numbers))
    return (server_us(client) - before) / len(numbers)


def main() -> None:
    with tempfile.TemporaryDirectory() as folder, RedisServer(Path(folder)) as server:
        client = redis.Redis.from_url(server.url)
        scripts = {"names": PUTS.text, "names and a field": WITH_FIELD + PUTS.text}
        times: dict[tuple[str, str], list[float]] = {}
        for number in range(ROUNDS):
            for name, text in scripts.items():
                sha = client.script_load(text)
                client.flushdb() if number == 0 else None
                base = number * BATCH + (RECORDS if name == "names" else 10 * RECORDS)
                numbers = [(base + n) * 7_919 % 1_000_003 for n in range(BATCH)]
                new = measure(client, sha, numbers, lambda n: "draft")
                changed = measure(client, sha, numbers, lambda n: "booked")
                times.setdefault((name, "new"), []).append(new)
                times.setdefault((name, "changed"), []).append(changed)
        client.close()
    for (name, kind), of_kind in times.items():
        print(f"| {kind} | {name} | {statistics.median(of_kind):.2f} us |")


if __name__ == "__main__":
    main()
