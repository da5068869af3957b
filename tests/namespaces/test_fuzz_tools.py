"""Leases, requests that run once, effects, logs and followers: one namespace tries to take those of its neighbours.

The same names are in use next door, and hostile ones are tried, with await and without. Whatever an attacker does,
he gets what is his and learns nothing of theirs, and theirs stays held, answered, open and followed.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack, aclosing, suppress
from typing import Any, Final

import pytest

from ad_seller.storage import (
    Applied,
    ConfigurationError,
    InvalidArgumentError,
    LeaseHeldError,
    NamespacedBackend,
    NotApplied,
    NotConnectedError,
    StorageBackend,
    Unknown,
    UnsupportedError,
)
from ad_seller.storage.records.namespaces import namespace_prefix
from ad_seller.storage.sync import SyncStorage
from tests.namespaces.test_fuzz import ATTACKERS, SECRET, VICTIMS, Attack, arena

__all__ = ["arena"]

MINE: Final = "mine"
#: Names that the neighbours use, too.
LEASE: Final = "nightly"
BOOK: Final = ("book", "R-1")
LOST: Final = ("book", "lost")
#: What a hostile name may get; that somebody else has the lease, or has sent another request, it never is.
REFUSALS: Final = (InvalidArgumentError, ConfigurationError, UnsupportedError, NotConnectedError)
#: What a backend of one process, or of one event loop, refuses.
LESS: Final = ("effect", "resolve", "without_await")


async def unknown(_: str) -> Unknown:
    return Unknown()


async def breaks(_: str) -> str:
    raise TimeoutError(SECRET)


async def theirs(*_: Any) -> str:
    return SECRET


async def mine(*_: Any) -> str:
    return MINE


class Victim:
    """One neighbour, with one of each tool in use."""

    def __init__(self, storage: StorageBackend) -> None:
        self.storage = storage
        self.has_effects = storage.capabilities.atomic == "store"
        self.seen: list[Any] = []
        self.saw = asyncio.Event()

    async def begin(self, stack: AsyncExitStack) -> None:
        self.lease = await stack.enter_async_context(self.storage.lease(LEASE, ttl=600))
        assert await self.storage.run_once(*BOOK, SECRET, theirs) == SECRET
        if self.has_effects:
            assert await self.storage.effect(*BOOK, theirs, reconcile=unknown) == SECRET
            with pytest.raises(TimeoutError):
                await self.storage.effect(*LOST, breaks, reconcile=unknown)
        self.entry_id = await self.storage.log("event").append(SECRET)
        following = asyncio.create_task(self._follow())
        stack.push_async_callback(stopped, following)

    async def _follow(self) -> None:
        async with aclosing(self.storage.log("event").follow()) as entries:
            async for entry in entries:
                self.seen.append(entry.value)
                self.saw.set()

    async def check(self) -> None:
        """All is as it was left."""
        self.lease.check()
        with pytest.raises(LeaseHeldError):
            async with self.storage.lease(LEASE, ttl=1):
                raise AssertionError
        assert await self.storage.run_once(*BOOK, SECRET, mine) == SECRET
        if self.has_effects:
            assert await self.storage.effect(*BOOK, mine, reconcile=unknown) == SECRET
            assert [(open_.scope, open_.name) for open_ in await self.storage.open_effects()] == [LOST]
        assert (await self.storage.log("event").read()).items == [(self.entry_id, SECRET)]
        assert self.seen == [SECRET]


async def stopped(task: asyncio.Task[None]) -> None:
    task.cancel()
    with suppress(asyncio.CancelledError):
        await task


class Taking(Attack):
    """What one attacker tries with the tools."""

    def name(self, known: str) -> str:
        return self.choose.choice([known, known, self.text()])

    async def lease(self) -> None:
        async with self.storage.lease(self.name(LEASE), ttl=30) as lease:
            lease.check()

    async def once(self) -> None:
        assert await self.storage.run_once(self.name(BOOK[0]), self.name(BOOK[1]), MINE, mine) == MINE

    async def effect(self) -> None:
        made = await self.storage.effect(self.name(BOOK[0]), self.name(BOOK[1]), mine, reconcile=unknown)
        assert made == MINE

    async def resolve(self) -> None:
        outcome: Applied | NotApplied = Applied(MINE) if self.choose.random() < 0.5 else NotApplied()
        assert not await self.storage.resolve_effect(self.name(LOST[0]), self.name(LOST[1]), outcome)
        assert await self.storage.open_effects() == []

    async def follow(self) -> None:
        log = self.storage.log(self.name("event"))
        await log.append(MINE)
        async with asyncio.timeout(30), aclosing(log.follow()) as entries:
            entry = await anext(entries)
            assert entry.value == MINE

    async def forget(self) -> None:
        await self.storage.delete_many(await self.storage.keys(self.choose.choice(["*", "log:*", "*lease*"])))

    async def holds_on(self) -> None:
        async with self.storage.lease(LEASE, ttl=30) as lease, self.storage.transaction() as tx:
            await tx.hold(lease)
            await tx.set(self.text(), MINE)

    async def without_await(self) -> None:
        await asyncio.to_thread(self._without_await)

    def _without_await(self) -> None:
        storage = SyncStorage(self.storage)
        with storage.lease(LEASE, ttl=30) as lease, storage.transaction() as tx:
            tx.hold(lease)
            tx.set("note", MINE)
        assert storage.run_once(*BOOK, MINE, lambda _: MINE) == MINE
        storage.log("event").append(MINE)
        assert {value for _, value in storage.log("event").read().items} == {MINE}
        assert SECRET not in repr([storage.get_many([self.text()]), storage.scan(self.text()), storage.keys()])
        storage.delete_many([self.text()])


ACTS: Final[dict[str, Callable[[Taking], Awaitable[None]]]] = {
    name: getattr(Taking, name)
    for name in ("lease", "once", "effect", "resolve", "follow", "forget", "holds_on", "without_await")
}


async def test_what_neighbours_hold_stays_theirs(arena: tuple[int, StorageBackend]) -> None:
    attacks, whole = arena
    choose = random.Random(16)
    told: list[str] = []
    done: set[str] = set()
    async with AsyncExitStack() as stack:
        await stack.enter_async_context(whole)
        neighbours = [await stack.enter_async_context(NamespacedBackend(whole, name)) for name in VICTIMS]
        victims = [Victim(storage) for storage in (*neighbours, whole)]
        for victim in victims:
            await victim.begin(stack)
        for victim in victims:
            await asyncio.wait_for(victim.saw.wait(), 30)
        before = set(await whole.keys())
        for _ in range(min(attacks, 200)):
            async with NamespacedBackend(whole, choose.choice(ATTACKERS)) as storage:
                act = choose.choice(list(ACTS))
                try:
                    await ACTS[act](Taking(storage, choose))
                except REFUSALS as error:
                    told.append(str(error))
                else:
                    done.add(act)
        own = tuple(map(namespace_prefix, ATTACKERS))
        assert {key for key in await whole.keys() if not key.startswith(own)} == before
        for victim in victims:
            await victim.check()
    assert SECRET not in repr(told)
    assert done >= ACTS.keys() - (() if victims[0].has_effects else LESS)
