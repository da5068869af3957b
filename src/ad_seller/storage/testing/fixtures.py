"""Storages for the tests of applications; `ad_seller_storage_pytest` makes fixtures of them."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator
from contextlib import contextmanager

from ..base import StorageBackend
from ..factory import shared_as
from ..runtime.sessions import connected_backends


class TestClock:
    """A clock that stands still until a test turns it.

    Attributes:
        now: seconds since the epoch.
    """

    __test__ = False  # pytest: no tests in here

    def __init__(self) -> None:
        """Begin with the present time."""
        self.now = time.time()

    def __call__(self) -> float:
        """Return the time."""
        return self.now

    def advance(self, seconds: float) -> None:
        """Turn it forward by ``seconds``."""
        self.now += seconds


@contextmanager
def shared_storage(backend: StorageBackend) -> Iterator[StorageBackend]:
    """Connect a backend and let it be the one that `get_storage` returns; close it afterwards.

    It needs no event loop: whichever loop the test runs opens its own session at the first call.
    """
    asyncio.run(backend.connect())
    try:
        with shared_as(backend):
            yield backend
    finally:
        asyncio.run(backend.disconnect())


@contextmanager
def none_left_open() -> Iterator[None]:
    """Raise AssertionError if a backend that was not connected before is connected at the end."""
    before = connected_backends()
    yield
    left = connected_backends()
    for name in before:
        if name in left:
            left.remove(name)
    assert not left, f"left open: {', '.join(left)}; call disconnect() or close_storage()"
