"""Small commits that remove or change entries, under a lease and the holds."""

from __future__ import annotations

from collections import Counter
from collections.abc import Awaitable, Callable, Iterable
from functools import partial
from typing import Any, Final

from ..atomic.lease import Lease
from ..base import StorageBackend
from ..errors import ConflictError, CorruptValueError, CrossStoreError
from ..records.markers import DELETE, KEEP, LEAVE
from ..seller.transaction import Transaction
from .holds import HOLDS_KEY, Holds

#: Seconds that the lease of whoever removes things lives; it is renewed meanwhile.
LEASE_SECONDS: Final = 30

_ATTEMPTS: Final = 5

#: Decides about an entry as it is at the commit: a word for the report, and DELETE, LEAVE or the new value.
Decide = Callable[[str, Any, Holds], tuple[str, Any]]

#: The keys that lead to an entry, by its key and value: they go with it.
Leading = Callable[[str, Any], Iterable[str]]


def _nothing(key: str, value: Any) -> Iterable[str]:
    return ()


async def change_entries(
    store: StorageBackend, lease: Lease, keys: list[str], decide: Decide, leading: Leading = _nothing
) -> Counter[str]:
    """Remove or change entries, all or nothing, if the lease and the holds are as they were; count by word.

    Where they do not lie in one place (a cluster, a hybrid), each entry is a commit of its own, and the holds are
    read just before it.

    Args:
        store: connected.
        lease: held.
        keys: some; "changed" stands for those that are gone, or that others change all the time.
        decide: see `Decide`.
        leading: see `Leading`.
    """
    if not keys:
        return Counter()
    try:
        return await store.transact(partial(_together, lease, keys, decide, leading), attempts=_ATTEMPTS)
    except (CrossStoreError, ConflictError, CorruptValueError):
        if len(keys) > 1:
            alone = [await change_entries(store, lease, [key], decide, leading) for key in keys]
            return sum(alone, Counter[str]())
    return await _alone(store, lease, keys[0], decide, leading)


async def _together(
    lease: Lease, keys: list[str], decide: Decide, leading: Leading, tx: Transaction
) -> Counter[str]:
    async def drop(keys: list[str]) -> None:
        for key in await tx.get_many(keys):
            await tx.delete(key)

    await tx.hold(lease)
    return await _apply(keys, decide, leading, Holds(await tx.get(HOLDS_KEY)), drop, tx)


async def _alone(store: StorageBackend, lease: Lease, key: str, decide: Decide, leading: Leading) -> Counter[str]:
    lease.check()
    holds = Holds(await store.get(HOLDS_KEY))
    try:
        # What leads to the entry lies elsewhere. It goes first: a stop leaves nothing that leads to no entry.
        work = partial(_apply, [key], decide, leading, holds, store.delete_many)
        return await store.transact(work, attempts=_ATTEMPTS)
    except CorruptValueError:
        return Counter({"unreadable": 1})
    except ConflictError:
        return Counter({"changed": 1})


async def _apply(
    keys: list[str],
    decide: Decide,
    leading: Leading,
    holds: Holds,
    drop: Callable[[list[str]], Awaitable[object]],
    tx: Transaction,
) -> Counter[str]:
    said: Counter[str] = Counter()
    found = await tx.get_many(keys)
    gone: list[str] = []
    for key in keys:
        if key not in found:
            said["changed"] += 1
            continue
        word, change = decide(key, found[key], holds)
        said[word] += 1
        if change is DELETE:
            gone.append(key)
        elif change is not LEAVE:
            await tx.set(key, change, ttl=KEEP)
    await drop([each for key in gone for each in leading(key, found[key])])
    for key in gone:
        await tx.delete(key)
    return said
