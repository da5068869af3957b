"""Claims and leases end in time, whatever a clock has done meanwhile."""

from __future__ import annotations

from contextlib import suppress

from ..driver.commit import Commit, Expect, Touch
from ..errors import MissingKeyError, UnsupportedError
from .committer import Committer

_TOLERANCE = 1.05  #: how much longer than its time to live an entry may seem to have, by clocks that are corrected


async def cap_expiry(store: Committer, key: str, text: bytes, ttl_ms: int) -> None:
    """Let the entry, if it still holds ``text``, end within its time to live from now on.

    Where the clock of the machine decides and was set back by an hour, an entry of a second has an hour left, and
    its owner may be dead. Whoever waits for it sees that it has more left than it was ever given.
    """
    with suppress(UnsupportedError, MissingKeyError):
        left = await store.ttl(key)
        if left is None or left * 1000 > ttl_ms * _TOLERANCE:
            await store._atomic_commit(Commit((Expect(key, text),), (Touch(key, ttl_ms),)))
