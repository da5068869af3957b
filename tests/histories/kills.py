"""A group of Redis servers whose master is killed twice within 40 s, under load: nothing acknowledged is lost."""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ad_seller.storage import StorageBackend, StorageError, UnknownOutcomeError
from ad_seller.storage.redis_backend import RedisBackend
from ad_seller.storage.testing.redis_groups import RedisCluster
from ad_seller.storage.testing.redis_sentinels import SentinelGroup

from .group_faults import take_over

WRITERS, COUNTERS = 20, 12
SECONDS = 45.0  #: that the load goes on
KILLS = (3.0, 23.0)  #: when the master is killed, in seconds from the start
LONGEST = 8.0  #: seconds that no key may be without a successful write

GAP = "ms without a success at most"  #: the figure that is no sum

_PAUSE = 0.005


@dataclass
class Caller:
    """One who writes to a key of its own.

    Attributes:
        key: which.
        counts: whether it counts; otherwise it sets the next number.
        confirmed: the least that the key must hold in the end.
        possible: the most that it may hold.
        gap: the longest time without a success, in seconds.
        told: how often each outcome was told.
    """

    key: str
    counts: bool
    confirmed: int = 0
    possible: int = 0
    gap: float = 0.0
    told: Counter[str] = field(default_factory=Counter)

    async def write_until(self, store: StorageBackend, end: float) -> None:
        """Write until then, and until there is a success after that, so that the last gap is seen, too."""
        last = time.monotonic()
        while last < end and time.monotonic() < end + 2 * LONGEST:
            self.possible += 1
            try:
                await (store.increment(self.key) if self.counts else store.set(self.key, self.possible))
            except UnknownOutcomeError:
                self.told["unknown"] += 1
            except StorageError:
                self.told["failed"] += 1
                self.possible -= 1
            else:
                self.told["ok"] += 1
                self.confirmed = self.confirmed + 1 if self.counts else self.possible
                now = time.monotonic()
                self.gap, last = max(self.gap, now - last), now
            await asyncio.sleep(_PAUSE)


def kill_twice(name: str, folder: Path) -> tuple[Counter[str], list[str]]:
    """Do it with ``cluster`` or ``sentinel``; return figures, and what was wrong."""
    is_cluster = name == "cluster"
    with RedisCluster(folder / name, node_timeout=1000) if is_cluster else SentinelGroup(folder / name) as group:
        return asyncio.run(_under_load(group))


async def _under_load(group: RedisCluster | SentinelGroup) -> tuple[Counter[str], list[str]]:
    callers = [Caller(f"writer:{number}", counts=False) for number in range(WRITERS)]
    callers += [Caller(f"counter:{number}", counts=True) for number in range(COUNTERS)]
    async with RedisBackend(group.url, wait_replicas=1) as store:
        end = time.monotonic() + SECONDS
        work = (caller.write_until(store, end) for caller in callers)
        await asyncio.gather(*work, asyncio.to_thread(_kill, group, callers[0].key))
        await asyncio.to_thread(group.heal)
        found = await store.get_many(caller.key for caller in callers)
    return _figures(callers, found)


def _kill(group: RedisCluster | SentinelGroup, key: str) -> None:
    """Kill the master of a key again and again; it comes back as a replica when another one has taken over."""
    began = time.monotonic()
    for at in KILLS:
        time.sleep(max(0.0, began + at - time.monotonic()))
        if isinstance(group, RedisCluster):
            group.kill_master(f"ad_seller:{key}")
            take_over(group)
        else:
            group.kill_master()
            group.wait_until_ok()
            group.heal()


def _figures(callers: list[Caller], found: dict[str, Any]) -> tuple[Counter[str], list[str]]:
    told: Counter[str] = sum((caller.told for caller in callers), Counter())
    gap = max(caller.gap for caller in callers)
    counts = Counter({"acknowledged writes": told["ok"], "unknown": told["unknown"], "failed": told["failed"]})
    counts[GAP] = int(1000 * gap)
    wrong = [
        f"{caller.key} holds {found.get(caller.key)}, not {caller.confirmed} to {caller.possible}"
        for caller in callers
        if not caller.confirmed <= found.get(caller.key, 0) <= caller.possible
    ]
    return counts, wrong + [f"{one.key} had no success for {one.gap:.1f} s" for one in callers if one.gap > LONGEST]
