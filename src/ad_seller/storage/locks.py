"""Locks by key, for the tasks of one event loop: first come, first served."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager


class KeyLocks:
    """One fair lock for each key; a key that nobody holds costs nothing."""

    def __init__(self) -> None:
        """Start with nothing held."""
        self._waiting: dict[str, deque[asyncio.Future[None]]] = {}
        self._owners: dict[str, asyncio.Task[object] | None] = {}

    def held_here(self, key: str) -> bool:
        """Tell whether the current task holds ``key``."""
        return key in self._waiting and self._owners[key] is asyncio.current_task()

    async def acquire(self, key: str) -> None:
        """Wait for ``key``; a cancelled wait gives up its place and keeps nothing."""
        queue = self._waiting.get(key)
        if queue is None:
            self._waiting[key] = deque()
        else:
            turn = asyncio.get_running_loop().create_future()
            queue.append(turn)
            try:
                await turn
            except BaseException:
                if turn.done() and not turn.cancelled():
                    self.release(key)  # the turn came at the moment of the cancellation: pass it on
                else:
                    queue.remove(turn)
                raise
        self._owners[key] = asyncio.current_task()

    def release(self, key: str) -> None:
        """Hand ``key`` to whoever has waited longest."""
        queue = self._waiting[key]
        while queue:
            turn = queue.popleft()
            if not turn.done():
                turn.set_result(None)
                return
        del self._waiting[key]
        self._owners.pop(key, None)

    @asynccontextmanager
    async def hold(self, *keys: str) -> AsyncIterator[None]:
        """Hold all of ``keys``, taken in sorted order so that two holders cannot block each other."""
        taken: list[str] = []
        try:
            for key in sorted(set(keys)):
                await self.acquire(key)
                taken.append(key)
            yield
        finally:
            for key in reversed(taken):
                self.release(key)
