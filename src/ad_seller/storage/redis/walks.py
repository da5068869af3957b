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
        """Return the keys of ``span``, sorted."""
        async with asyncio.timeout(self._timeout):
            await self._free.acquire()
        try:
            found: list[str] = []
            async for key in self._sorted(span):
                found.append(key)
                if span.limit is not None and len(found) >= span.limit:
                    break
            return found
        finally:
            self._free.release()

    async def _sorted(self, span: KeyQuery) -> AsyncIterator[str]:
        """Yield the keys of ``span`` in order, each once."""
        found = await self._router.with_all(lambda pool: self._scanned(pool, span))
        runs = [run for server in found for run in server]
        pace = TimeSlice()
        previous = None
        for position, key in enumerate(heapq.merge(*runs, reverse=span.reverse)):
            if key != previous and span.has(key):
                yield key
            previous = key
            if position % 256 == 255:
                await pace.checkpoint()

    async def _scanned(self, pool: NodePool, span: KeyQuery) -> list[list[str]]:
        skipped = len(self._prefix.encode())
        parts = scanned(pool, self._prefix, span.glob, self._timeout)
        return [sorted([name[skipped:].decode() for name in names], reverse=span.reverse) async for names in parts]
