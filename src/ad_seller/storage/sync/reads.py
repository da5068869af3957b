"""Reads in the calling thread, where the engine can: a hop to the event loop and back costs ten times as much."""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from typing import Any

from ad_seller.storage import StorageBackend

from .loop import loop_thread


class NotHereError(Exception):
    """Only the event loop can tell: the call begins anew there, and telemetry says nothing of this one."""

    begins_anew = True


def get_here(store: StorageBackend, key: str) -> Any:
    """Return the value under ``key``.

    Raises:
        NotHereError: only the event loop can tell.
    """
    found = store._get_in_thread(key, loop_thread().loop)
    if found is None:
        raise NotHereError
    return found[0]


class Gets:
    """What a method of the interface sees as ``self`` that awaits nothing but `get`."""

    def __init__(self, store: StorageBackend) -> None:
        """Keep the backend."""
        self._store = store

    async def get(self, key: str) -> Any:
        """Return the value under ``key``, without ever giving way to others."""
        return get_here(self._store, key)


def read_here(store: StorageBackend, function: Callable[..., Any], *args: Any, **named: Any) -> Any:
    """Return what ``function`` does, a method of ``store`` that awaits nothing but `get` if it is the interface's.

    Raises:
        NotHereError: only the event loop can tell, or the backend has a method of its own.
    """
    ours: Any = getattr(StorageBackend, getattr(function, "__name__", ""), None)
    if ours is None or getattr(function, "__func__", None) != ours:
        raise NotHereError
    running: Coroutine[Any, Any, Any] = ours(Gets(store), *args, **named)
    try:
        running.send(None)
    except StopIteration as done:
        return done.value
    raise AssertionError("not reached: it awaits nothing that waits")
