"""A change that waits for its turn."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextvars import Context, copy_context
from typing import Any

from ..records.markers import Keep

Change = Callable[[Any], Any]


class PendingUpdate:
    """One change that is wanted, and the rules for the expiry.

    Attributes:
        change: the caller's function.
        ttl: milliseconds, None for no expiry, or `KEEP`.
        created_ttl: the same for an entry that is new while ``ttl`` is `KEEP`.
        attempts: how often it may be tried.
    """

    __slots__ = ("attempts", "change", "context", "created_ttl", "future", "sent", "ttl")

    def __init__(self, change: Change, ttl: int | Keep | None, created_ttl: int | None, attempts: int) -> None:
        """Keep what is wanted."""
        self.change = change
        self.ttl = ttl
        self.created_ttl = created_ttl
        self.attempts = attempts
        self.context: Context | None = None
        self.future: asyncio.Future[Any] | None = None
        self.sent = False

    def enqueue(self) -> asyncio.Future[Any]:
        """Return the future that gets the result; the change will run in the caller's context."""
        self.context = copy_context()
        self.future = asyncio.get_running_loop().create_future()
        return self.future
