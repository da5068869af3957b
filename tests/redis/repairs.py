"""Listings just after another program wrote, while a second instance repairs the index: each shows all of it.

``python -m tests.redis.repairs cluster`` tries it 500 times; the kinds are redis, sentinel, cluster, and tenant,
which is a cluster with one tag in all names. `test_index_races.py` and `test_use.py` of the cluster try it a few
times.
"""

from __future__ import annotations

import argparse
import asyncio
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import redis

from ad_seller.storage.redis_backend import RedisBackend
from ad_seller.storage.testing.redis_groups import RedisCluster, SentinelGroup
from ad_seller.storage.testing.servers import RedisServer
from tests.processes import do_job, started_job

#: Of each try: names so many and so long that the index is still being repaired when the listings ask.
NAMES, LENGTH = 1_900, 600
MODULE = "tests.redis.repairs"


# --- what the two other processes do -------------------------------------------------------------------------


def repair(url: str, prefix: str) -> None:
    """List whenever told, in a process whose event loop hears at once what others write, and mends the index."""
    asyncio.run(_serve(url, prefix, lambda: asyncio.to_thread(sys.stdin.readline)))


def look(url: str, prefix: str) -> None:
    """Say what three listings show of names that begin with the line that comes, and hear nothing until then."""

    async def line() -> str:
        return sys.stdin.readline()

    asyncio.run(_serve(url, prefix, line))


async def _serve(url: str, prefix: str, line: Callable[[], Any]) -> None:
    async with RedisBackend(url, key_prefix=prefix) as store:
        while True:
            await store.keys("own")
            print("ready", flush=True)
            if not (told := await line()):
                return
            if pattern := told.strip():
                found = await store.count(pattern), await store.keys(pattern), await store.scan(pattern)
                print(found[0], len(found[1]), len(found[2].items), flush=True)


# --- the tries -----------------------------------------------------------------------------------------------


def wrong_listings(url: str, client: Any, prefix: str, tries: int) -> list[str]:
    """Return what listings said that did not show all that was there before they began."""
    wrong = []
    with ExitStack() as stack:
        jobs = [stack.enter_context(started_job(MODULE, job, url, prefix)) for job in ("repair", "look")]
        for number in range(tries):
            for job in jobs:
                assert _said(job) == "ready"
            names = [f"{prefix}m{number}:{n:0{LENGTH}}" for n in range(NAMES)]
            _pass_on(client, "set", names, "1")
            _tell(jobs[1], f"m{number}:*")
            if (said := _said(jobs[1])) != f"{NAMES} {NAMES} {NAMES}":
                wrong.append(said)
            _pass_on(client, "unlink", names)
            _tell(jobs[0], "")
    return wrong


def _pass_on(client: Any, command: str, names: list[str], *more: str) -> None:
    pipeline = client.pipeline(transaction=False)
    for name in names:
        getattr(pipeline, command)(name, *more)
    pipeline.execute()


def _said(job: Any) -> str:
    line: str = job.stdout.readline()
    assert line, job.stderr.read()
    return line.strip()


def _tell(job: Any, line: str) -> None:
    job.stdin.write(f"{line}\n")
    job.stdin.flush()


@contextmanager
def servers(kind: str, folder: Path) -> Iterator[tuple[str, Any, str]]:
    """Yield a URL, a client as other programs use it, and a prefix."""
    if kind == "redis":
        with RedisServer(folder) as server, redis.Redis.from_url(server.url) as client:
            yield server.url, client, "ad_seller:"
    elif kind == "sentinel":
        with SentinelGroup(folder) as group, redis.Redis(port=group.master().port) as client:
            yield group.url, client, "ad_seller:"
    else:
        with RedisCluster(folder) as cluster:
            spread: Any = redis.RedisCluster(host="127.0.0.1", port=cluster.nodes[0].port)
            yield cluster.url, spread, "{tenant}:" if kind == "tenant" else "ad_seller:"
            spread.close()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("kind", choices=["redis", "sentinel", "cluster", "tenant"])
    parser.add_argument("--tries", type=int, default=500)
    options = parser.parse_args()
    began = time.monotonic()
    with tempfile.TemporaryDirectory() as folder, servers(options.kind, Path(folder)) as (url, client, prefix):
        wrong = wrong_listings(url, client, prefix, options.tries)
    print(f"{options.kind}: {len(wrong)} wrong of {options.tries} in {time.monotonic() - began:.0f} s", *wrong[:5])


JOBS = {"repair": repair, "look": look}

if __name__ == "__main__":
    if {*sys.argv[1:2]} <= {*JOBS} and sys.argv[1:]:
        do_job(JOBS, sys.argv[1:])
    else:
        main()
