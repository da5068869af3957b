"""Locks by key, for the tasks of one event loop: first come, first served."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from contextvars import ContextVar

#: The holds that the current task, or the task that started it, is inside of.
_holds: ContextVar[tuple[object, ...]] = ContextVar("ad_seller_storage_holds", default=())


class KeyLocks:
    """One fair lock for each key; a key that nobody holds costs nothing."""

    def __init__(self) -> None:
        """Start with nothing held."""
        self._waiting: dict[str, deque[asyncio.Future[None]]] = {}
        self._holders: dict[str, object] = {}

    def held_here(self, key: str) -> bool:
        """Tell whether ``key`` is held by a `hold` that the caller is inside of, be it in a child task."""
        return key in self._holders and self._holders[key] in _holds.get()

    @asynccontextmanager
    async def hold(self, *keys: str) -> AsyncIterator[None]:
        """Hold all of ``keys``, taken in sorted order so that two holders cannot block each other."""
        hold = object()
        taken: list[str] = []
        token = _holds.set((*_holds.get(), hold))
        try:
            for key in sorted(set(keys)):
                await self._acquire(key)
                self._holders[key] = hold
                taken.append(key)
            yield
        finally:
            _holds.reset(token)
            for key in reversed(taken):
                self._release(key)

    async def _acquire(self, key: str) -> None:
        """Wait for ``key``; a cancelled wait gives up its place and keeps nothing."""
        queue = self._waiting.get(key)
        if queue is None:
            self._waiting[key] = deque()
            return
        turn = asyncio.get_running_loop().create_future()
        queue.append(turn)
        try:
            await turn
        except BaseException:
            if turn.done() and not turn.cancelled():
                self._release(key)  # the turn came at the moment of the cancellation: pass it on
            else:
                with suppress(ValueError):  # a release may have skipped it already
                    queue.remove(turn)
            raise

    def _release(self, key: str) -> None:
        """Hand ``key`` to whoever has waited longest; until that task runs, nobody counts as its holder."""
        self._holders.pop(key, None)
        queue = self._waiting[key]
        while queue:
            turn = queue.popleft()
            if not turn.done():
                turn.set_result(None)
                return
        del self._waiting[key]
