"""Claims and leases end in time, whatever a clock has done meanwhile."""

from __future__ import annotations

import time
from contextlib import suppress
from typing import Protocol

from ..driver.commit import Commit, Expect, Outcome, Touch
from ..errors import MissingKeyError, UnsupportedError

DEFAULT_CLAIM_TTL = 10.0  #: seconds after which the claim of a process that died ends
_TOLERANCE = 1.05  #: how much longer than its time to live an entry may seem to have, by clocks that are corrected


class Expiring(Protocol):
    """What `ExpiryCap` needs of a backend."""

    async def ttl(self, key: str) -> float | None:
        """See `StorageBackend.ttl`."""

    async def _atomic_commit(self, commit: Commit) -> Outcome:
        """See `StorageBackend`."""


class ExpiryCap:
    """What one who waits for a claim or a lease does about a clock that is set back.

    Where the clock of the machine decides and was set back by an hour, an entry of a second has an hour left, and
    its owner may be dead. Whoever waits for it sees that it has more left than it was ever given.
    """

    def __init__(self, store: Expiring) -> None:
        """Have seen nothing yet."""
        self._store = store
        self._seen: bytes | None = None
        self._next_look = 0.0

    async def look(self, key: str, text: bytes, ttl_ms: int) -> None:
        """Let the entry, if it still holds ``text``, end within its time to live from now on.

        At the first sight of it, and once in each time to live: the clock may be set while somebody waits.
        """
        now = time.monotonic()
        if text == self._seen and now < self._next_look:
            return
        self._seen, self._next_look = text, now + ttl_ms / 1000
        with suppress(UnsupportedError, MissingKeyError):
            left = await self._store.ttl(key)
            if left is None or left * 1000 > ttl_ms * _TOLERANCE:
                await self._store._atomic_commit(Commit((Expect(key, text),), (Touch(key, ttl_ms),)))
