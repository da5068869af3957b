"""Answers that rest on what was read, where a read alone is no acknowledgement.

With `wait_replicas` a write counts when replicas have it. What another caller wrote may be read before that, and
may be lost in a failover; an answer such as "this request ran already" must not rest on it. So the entry is written
once more as it is: replicas have what came before a write when they have the write.
"""

from __future__ import annotations

from collections.abc import Mapping

from ..driver.commit import Commit, Expect, Put, Refused
from ..records.markers import KEEP
from .committer import Committer


async def is_confirmed(store: Committer, texts: Mapping[str, bytes | None]) -> bool:
    """Tell whether the entries are still as they were read, and as durable as an acknowledged write.

    Costs nothing where reading is enough.

    Raises:
        UnknownOutcomeError: it was not confirmed.
    """
    if not any(store._atomic_confirms(key) for key in texts):
        return True
    expectations = tuple(Expect(key, text) for key, text in texts.items())
    again = tuple(Put(key, text, KEEP) for key, text in texts.items() if text is not None)
    return not isinstance(await store._atomic_commit(Commit(expectations, again)), Refused)
