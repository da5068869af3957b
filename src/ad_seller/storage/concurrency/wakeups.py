"""Waking those who wait for what is stored under a prefix: who follows a log, who works for an outbox.

Whoever stores something in this process tells; what other processes stored is told by the engines that hear of it.
A wake-up says that it may be worth looking, and may be lost: who waits looks now and then all the same.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from contextlib import suppress
from types import TracebackType
from typing import Final, Self

from .forks import fork_safe_lock, keep_for_parent, tell_of_forks

#: All who wait in this process, in the order in which they came. While it is empty, telling costs one look at it.
WAITING: Final[dict[Wakeup, None]] = {}

_lock = fork_safe_lock()


class Wakeup:
    """One who waits, in one event loop: ``with Wakeup("log:event:") as wakeup: await wakeup.wait(5)``.

    Args:
        prefix: what the keys begin with.
    """

    def __init__(self, prefix: str) -> None:
        """Belong to the running event loop."""
        self.prefix = prefix
        self._loop = asyncio.get_running_loop()
        self._rung = asyncio.Event()

    def __enter__(self) -> Self:
        """Hear from now on."""
        with _lock:
            for one in [one for one in WAITING if one._loop.is_closed()]:
                del WAITING[one]
            WAITING[self] = None
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Hear no more."""
        with _lock:
            WAITING.pop(self, None)

    async def wait(self, seconds: float) -> bool:
        """Wait until something was stored since the last wait, or for so long; tell whether something was."""
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._rung.wait()
        rung = self._rung.is_set()
        self._rung.clear()
        return rung

    def ring(self) -> None:
        """Wake it, from any thread."""
        if not self._rung.is_set():
            with suppress(RuntimeError):  # its loop has ended
                self._loop.call_soon_threadsafe(self._rung.set)


def tell(keys: Iterable[str]) -> None:
    """Wake those who wait for one of the keys; from any thread."""
    known = tuple(keys)
    for one in tuple(WAITING):
        if any(key.startswith(one.prefix) for key in known):
            one.ring()


def wake_all() -> None:
    """Wake all who wait: something has ended that they need to know of."""
    for one in tuple(WAITING):
        one.ring()


class _Forks:
    """Whoever waits in the parent is none of the child's."""

    def forked(self) -> None:
        keep_for_parent(tuple(WAITING))
        WAITING.clear()


_forks = _Forks()
tell_of_forks(_forks)
