"""health."""

from __future__ import annotations

import json

from ad_seller.storage.testing.servers import RedisServer
from tests.cli.conftest import Invoke


def test_health(invoke: Invoke, url: str, own_redis: RedisServer) -> None:
    invoke("set", "a", "1")
    assert invoke("health").stdout.startswith("SQLiteBackend answers after ")
    found = json.loads(invoke("health", "--json").stdout)
    assert (found["backend"], found["reachable"], found["doubts"], found["error"]) == (
        "SQLiteBackend",
        True,
        [],
        None,
    )
    assert json.loads(invoke("--url", f"{url}?synchronous=normal", "health", "--json").stdout)["doubts"]
    own_redis.kill()
    gone = invoke("--url", own_redis.url, "health")
    assert gone.exit_code == 3
