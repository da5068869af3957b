"""What each client looks at beside the history: nothing expires early, and what has expired stays expired.

A history knows no time. So each client writes entries that expire, and says in another entry between which moments,
by the clock that only goes forward, that was done; all clients read them and compare.
"""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Callable
from typing import Any, NamedTuple

from ad_seller.storage import StorageBackend, StorageError

LATE = 0.02  #: seconds after its end for which an entry may still be seen

_PAUSE = 0.02


class Written(NamedTuple):
    """An acknowledged write.

    Attributes:
        key: of the entry.
        ttl: seconds that it lives.
        begin: when it was called.
        end: when it was acknowledged.
    """

    key: str
    ttl: float
    begin: float
    end: float


def what_is_wrong(written: Written, before: float, value: object, after: float) -> str | None:
    """Tell whether a value that was read between two moments is an answer that the entry's time to live forbids."""
    if value is not None and before >= written.end + written.ttl + LATE:
        return f"{written} was read {before - written.end:.3f} s after its acknowledgement"
    if value is None and after < written.begin + written.ttl:
        return f"{written} was gone {after - written.begin:.3f} s after its call"
    return None


async def watch(
    store: StorageBackend, prefixes: tuple[str, ...], name: str, seed: str, is_over: Callable[[], bool]
) -> list[str]:
    """Write entries that expire, read those of all, and return what was wrong.

    Args:
        store: where.
        prefixes: of the entries, one of which is taken each time.
        name: of the client.
        seed: where choices come from.
        is_over: tells when to stop.
    """
    chance = random.Random(f"{seed} expiries")
    wrong: list[str] = []
    number = 0
    while not is_over():
        number += 1
        prefix = chance.choice(prefixes)
        key = f"{prefix}:x:{name}:{number}"
        try:
            if chance.random() < 0.4:
                await _write(store, f"{prefix}:x", key, chance.choice((0.02, 0.1, 0.3)))
            wrong += await _look(store, f"{prefix}:x")
        except StorageError:  # a store that is broken says nothing about time
            pass
        await asyncio.sleep(chance.random() * _PAUSE)
    return wrong


async def _write(store: StorageBackend, told: str, key: str, ttl: float) -> None:
    begin = time.monotonic()
    await store.set(key, 1, ttl)
    await store.set(told, [key, ttl, begin, time.monotonic()])


async def _look(store: StorageBackend, told: str) -> list[str]:
    said: Any = await store.get(told)
    if said is None:
        return []
    written = Written(*said)
    before = time.monotonic()
    value = await store.get(written.key)
    found = what_is_wrong(written, before, value, time.monotonic())
    return [] if found is None else [found]
