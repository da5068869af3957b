"""Answers that rest on what was read, where a read alone is no acknowledgement.

With `wait_replicas` a write counts when replicas have it. What another caller wrote may be read before that, and
may be lost in a failover; an answer such as "this request ran already" must not rest on it. So the entry is written
once more as it is: replicas have what came before a write when they have the write.
"""

from __future__ import annotations

from collections.abc import Mapping

from ..concurrency.tasks import all_of
from ..driver.commit import Commit, Delete, Expect, Put, Refused, Write
from ..records.markers import KEEP
from .committer import Committer


async def changed_since(store: Committer, texts: Mapping[str, bytes | None]) -> str | None:
    """Return a key whose entry is no longer as it was read; None if all are, and durable like acknowledged writes.

    Each key is a commit of its own, because together they may live in several places. Costs nothing, and looks at
    nothing, where reading is enough.

    Raises:
        UnknownOutcomeError: it was not confirmed.
    """
    doubtful = [(key, text) for key, text in texts.items() if store._atomic_confirms(key)]
    if not doubtful:
        return None
    outcomes = await all_of(store._atomic_commit(_same_again(key, text)) for key, text in doubtful)
    return next((outcome.key for outcome in outcomes if isinstance(outcome, Refused)), None)


async def is_confirmed(store: Committer, key: str, text: bytes | None) -> bool:
    """Tell whether the entry is still as it was read, and as durable as an acknowledged write.

    Raises:
        UnknownOutcomeError: it was not confirmed.
    """
    return await changed_since(store, {key: text}) is None


def _same_again(key: str, text: bytes | None) -> Commit:
    """Return a commit that changes nothing and yet writes: otherwise not every server waits for replicas."""
    again: tuple[Write, ...] = (Put(key, text, KEEP),) if text is not None else (Put(key, b"null"), Delete(key))
    return Commit((Expect(key, text),), again)
