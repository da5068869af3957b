"""Listing: Redis walks its keys in no order and shows some twice."""

from __future__ import annotations

import asyncio
import heapq
from collections.abc import AsyncIterator

from redis.exceptions import ResponseError

from .keys import check_key
from .listing import Span
from .pace import Pace
from .patterns import escape
from .redis_link import RedisLink
from .redis_router import RedisRouter

_SCAN_COUNT = 10_000  #: keys that one SCAN looks at: few round trips, and at most a few ms of the server's time


async def sorted_keys(router: RedisRouter, prefix: str, span: Span, timeout: float) -> AsyncIterator[str]:
    """Yield the keys of ``span`` in order, each once.

    Args:
        router: leads to the servers.
        prefix: what stands before each key in Redis.
        span: what is asked for.
        timeout: seconds that each of many answers may take.
    """
    found = await router.everywhere(lambda link: _scan_server(link, prefix, span, timeout))
    runs = [run for server in found for run in server]
    pace = Pace()
    previous = None
    for position, key in enumerate(heapq.merge(*runs)):
        if key != previous and span.has(key):
            yield key
        previous = key
        if position % 256 == 255:
            await pace.rest()


async def _scan_server(link: RedisLink, prefix: str, span: Span, timeout: float) -> list[list[str]]:
    """Return sorted runs of the keys on one server that start as the matching ones do."""
    runs: list[list[str]] = []
    skipped = len(prefix.encode())
    pattern = escape(prefix + span.glob.prefix) + ("" if span.glob.literal else "*")
    pace = Pace()
    cursor: bytes | int = 0
    while True:
        command = ("SCAN", cursor, "MATCH", pattern, "COUNT", _SCAN_COUNT, "TYPE", "string")
        [answer] = await link.pipeline([command], asyncio.get_running_loop().time() + timeout)
        if isinstance(answer, ResponseError):
            raise answer
        cursor, names = answer
        keys = (_own_key(name[skipped:]) for name in names)
        runs.append(sorted(key for key in keys if key is not None))
        await pace.rest()
        if int(cursor) == 0:
            return runs


def _own_key(raw: bytes) -> str | None:
    """Return the key, or None for a name that a foreign writer chose and that no key of ours can be."""
    try:
        return check_key(raw.decode())
    except ValueError:
        return None
