"""Locks by key, for the tasks of one event loop: first come, first served."""

from __future__ import annotations

import asyncio
from collections import deque
from contextlib import suppress
from contextvars import ContextVar

from ..errors import StorageTimeoutError

#: The holds that the current task, or the task that started it, is inside of.
_holds: ContextVar[tuple[Hold, ...]] = ContextVar("ad_seller_storage_holds", default=())


class Hold:
    """Some keys, held while an ``async with`` block runs."""

    __slots__ = ("_keys", "_locks", "_timeout", "_token")

    def __init__(self, locks: KeyLocks, keys: tuple[str, ...], timeout: float | None) -> None:
        """Take nothing yet."""
        self._locks = locks
        self._timeout = timeout
        self._keys = keys if len(keys) == 1 else tuple(sorted(set(keys)))

    async def __aenter__(self) -> None:
        """Wait for all keys; if that is cancelled, keep none."""
        taken = 0
        try:
            for key in self._keys:
                await self._locks.acquire(key, self._timeout)
                taken += 1
        except BaseException:
            self._release(self._keys[:taken])
            raise
        for key in self._keys:
            self._locks.holders[key] = self
        self._token = _holds.set((*_holds.get(), self))

    async def __aexit__(self, *error: object) -> None:
        """Give them up."""
        _holds.reset(self._token)
        self._release(self._keys)

    def _release(self, keys: tuple[str, ...]) -> None:
        for key in reversed(keys):
            self._locks.release(key)


class KeyLocks:
    """One fair lock for each key; a key that nobody holds costs nothing."""

    def __init__(self) -> None:
        """Start with nothing held."""
        self._waiting: dict[str, deque[asyncio.Future[None]]] = {}
        self.holders: dict[str, Hold] = {}

    def held_here(self, key: str) -> bool:
        """Tell whether ``key`` is held by a `hold` that the caller is inside of, be it in a child task."""
        return key in self.holders and self.holders[key] in _holds.get()

    def hold(self, *keys: str, timeout: float | None = None) -> Hold:
        """Return a context that holds ``keys``, taken in sorted order so that holders cannot block each other.

        Args:
            keys: what is held.
            timeout: seconds that each may take; None for no limit. Entering raises `StorageTimeoutError`.
        """
        return Hold(self, keys, timeout)

    async def acquire(self, key: str, timeout: float | None) -> None:
        """Wait for ``key``; a cancelled wait gives up its place and keeps nothing."""
        queue = self._waiting.get(key)
        if queue is None:
            self._waiting[key] = deque()
            return
        turn = asyncio.get_running_loop().create_future()
        queue.append(turn)
        try:
            async with asyncio.timeout(timeout):
                await turn
        except BaseException as error:
            if turn.done() and not turn.cancelled():
                self.release(key)  # the turn came at the moment of the cancellation: pass it on
            else:
                with suppress(ValueError):  # a release may have skipped it already
                    queue.remove(turn)
            if isinstance(error, TimeoutError):
                raise StorageTimeoutError(
                    f"Earlier updates of {key!r} took {timeout:g} s; nothing was written", key=key
                ) from error
            raise

    def release(self, key: str) -> None:
        """Hand ``key`` to whoever has waited longest; until that task runs, nobody counts as its holder."""
        self.holders.pop(key, None)
        queue = self._waiting[key]
        while queue:
            turn = queue.popleft()
            if not turn.done():
                turn.set_result(None)
                return
        del self._waiting[key]
