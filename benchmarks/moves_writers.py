"""What the processes do that write during a move, and what they were acknowledged; see `moves`."""

from __future__ import annotations

import asyncio
import random
import sys
import time
from collections import Counter
from typing import Any, NamedTuple

from ad_seller.storage import StorageBackend, open_url

from .data import filler_key, value

WRITERS = 4
DAY = 86_400


class Held(NamedTuple):
    """What must be stored: a value, and between which epoch seconds it expires; None: it is not there."""

    value: Any
    first: float | None = None
    last: float | None = None


GONE = Held(None)
Acknowledged = dict[str, Held]


async def acknowledged(storage: StorageBackend, entries: dict[str, Any], ttl: float | None) -> Acknowledged:
    began = time.time()
    await storage.set_many(entries, ttl=ttl)
    first, last = (None, None) if ttl is None else (began + ttl, time.time() + ttl)
    return {key: Held(value, first, last) for key, value in entries.items()}


async def filled(url: str, entries: int) -> Acknowledged:
    """Store so many; every fourth one expires."""
    held: Acknowledged = {}
    async with open_url(url) as storage:
        for begin in range(0, entries, 10_000):
            numbers = range(begin, min(begin + 10_000, entries))
            for ttl, some in ((DAY, numbers[::4]), (None, [n for n in numbers if n % 4])):
                held |= await acknowledged(storage, {(key := filler_key(n)): value(key, "s") for n in some}, ttl)
    return held


class Writer:
    """Changes entries that no other writer changes, and notes what was acknowledged."""

    def __init__(self, storage: StorageBackend, number: int, entries: int) -> None:
        self.held: Acknowledged = {}
        self.done: Counter[str] = Counter()
        self._storage = storage
        self._own = range(number, entries + entries // 10, WRITERS)  # some are new
        self._entries = entries
        self._sessions = [f"session:{number}:{n}" for n in range(100)]
        self._rnd = random.Random(number)

    async def work(self, until: asyncio.Future[Any]) -> None:
        turn = 0
        while not until.done():
            keys = {filler_key(self._rnd.choice(self._own)) for _ in range(8)}
            await asyncio.gather(*(self._change(key) for key in keys))
            await self._keep_alive(self._sessions[turn % len(self._sessions)])
            turn += 1
            await asyncio.sleep(0.002)

    async def _change(self, key: str) -> None:
        kinds, weights = ("set", "expiring", "soon", "renew", "lasts", "delete"), (40, 10, 5, 25, 5, 15)
        [what] = self._rnd.choices(kinds, weights)
        self.done[what] += 1
        if what in ("set", "expiring", "soon"):
            ttl = {"set": None, "expiring": self._rnd.randrange(1000, DAY), "soon": self._rnd.randrange(1, 60)}[
                what
            ]
            await self._set(key, value(key, "s", self._rnd.randrange(10**6)), ttl)
        elif what == "delete":
            await self._storage.delete(key)
            self.held[key] = GONE
        else:
            there = self.held.get(key) or (Held(value(key, "s")) if key < filler_key(self._entries) else GONE)
            await self._renew(key, there, self._rnd.randrange(1000, DAY) if what == "renew" else None)

    async def _keep_alive(self, key: str) -> None:
        """Renew what would end while it is copied."""
        if not await self._renew(key, self.held.get(key, GONE), 60):
            await self._set(key, {"id": key}, 60)

    async def _set(self, key: str, what: Any, ttl: float | None) -> None:
        self.held |= await acknowledged(self._storage, {key: what}, ttl)

    async def _renew(self, key: str, there: Held, ttl: float | None) -> bool:
        began = time.time()
        if ttl is None:
            if done := await self._storage.persist(key):
                self.held[key] = Held(there.value)
        elif done := await self._storage.expire(key, ttl):
            self.held[key] = Held(there.value, began + ttl, time.time() + ttl)
        elif there.value is not None and (there.first is None or there.first > time.time()):
            raise SystemExit(f"The source has lost {key}: {there}")
        return done


async def write(url: str, number: int, entries: int) -> dict[str, Any]:
    """Write until there is a line on standard input; return what was acknowledged."""
    until = asyncio.ensure_future(asyncio.to_thread(sys.stdin.readline))
    async with open_url(url) as storage:
        writer = Writer(storage, number, entries)
        print("writes", flush=True)
        await writer.work(until)
    return {"held": writer.held, "done": writer.done}
