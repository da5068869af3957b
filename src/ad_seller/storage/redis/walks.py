"""Listings by walking over all keys of all servers, where there is no index."""

from __future__ import annotations

import asyncio
import heapq
from collections.abc import AsyncIterator

from ..concurrency.timeslice import TimeSlice
from ..driver.query import KeyQuery
from .index import scanned
from .pool import NodePool
from .router import RedisRouter

#: Listings that walk at the same time; the other connections stay free for reads and writes.
_WALKS = 2


class Walks:
    """Finds keys by SCAN.

    Args:
        router: leads to the servers.
        prefix: what stands before each key in Redis.
        timeout: seconds that each of many answers may take.
    """

    def __init__(self, router: RedisRouter, prefix: str, timeout: float) -> None:
        """Nothing is asked yet."""
        self._router = router
        self._prefix = prefix
        self._timeout = timeout
        self._free = asyncio.Semaphore(_WALKS)

    async def keys(self, span: KeyQuery) -> list[str]:
        """Return the keys of ``span``, sorted; to wait for a place is a part of the time for the first answers."""
        deadline = self._router.deadline()
        async with asyncio.timeout_at(deadline):
            await self._free.acquire()
        try:
            found: list[str] = []
            async for key in self._sorted(span, deadline):
                found.append(key)
                if span.limit is not None and len(found) >= span.limit:
                    break
            return found
        finally:
            self._free.release()

    async def _sorted(self, span: KeyQuery, deadline: float) -> AsyncIterator[str]:
        """Yield the keys of ``span`` in order, each once."""
        heard: set[NodePool] = set()

        async def scan(pool: NodePool) -> list[list[str]]:
            return await self._scanned(pool, span, deadline, heard)

        found = await self._router.with_all(scan, deadline=deadline)
        runs = [run for server in found for run in server]
        pace = TimeSlice()
        previous = None
        for position, key in enumerate(heapq.merge(*runs, reverse=span.reverse)):
            if key != previous and span.has(key):
                yield key
            previous = key
            if position % 256 == 255:
                await pace.checkpoint()

    async def _scanned(
        self, pool: NodePool, span: KeyQuery, deadline: float, heard: set[NodePool]
    ) -> list[list[str]]:
        """Return the keys of one server in sorted parts; one that was not ``heard`` has until the deadline."""
        skipped, found = len(self._prefix.encode()), []
        first = None if pool in heard else deadline
        async for names in scanned(pool, self._prefix, span.glob, self._timeout, first):
            heard.add(pool)
            found.append(sorted([name[skipped:].decode() for name in names], reverse=span.reverse))
        return found
