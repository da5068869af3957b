"""A driver without an engine: each hook takes its time and may fail, and all that was applied is remembered."""

from __future__ import annotations

import asyncio
from bisect import bisect_right
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, ClassVar, NamedTuple, TypeVar

from ad_seller.storage.atomic.state import state_of
from ad_seller.storage.capabilities import Capabilities
from ad_seller.storage.driver.commit import Commit, Outcome, Refused
from ad_seller.storage.driver.engine import Engine
from ad_seller.storage.driver.failures import LostError, NotStartedError
from ad_seller.storage.driver.query import KeyQuery
from ad_seller.storage.errors import StorageError, StoreUnavailableError
from ad_seller.storage.memory.engine import MemoryEngine
from ad_seller.storage.memory.entries import Entries
from ad_seller.storage.records.codec import decode
from ad_seller.storage.runtime.template import DriverBackend
from tests.schedules.world import World

A = TypeVar("A")
R = TypeVar("R")

#: How long a slow step takes, in time-outs. Some end at the very moment at which a time is up.
SLOWNESS = (1 / 3, 1 / 2, 1, 1.5)


class Version(NamedTuple):
    """What a key holds from a step of the loop on; None: no entry."""

    step: int
    value: Any


class Disk:
    """What several simulated processes share.

    Args:
        world: where chance and time come from.
        faults: the share of bulk calls that fail, before or after they took effect.
        slow: the share of steps, two in each bulk call, that take about as long as the time-out.
        closed_doors: the share of openings that fail.
        versions: whether it remembers for `during` what every key held.

    Attributes:
        applied: the commits that took effect, in order.
        calls: bulk calls that have begun.
    """

    def __init__(
        self,
        world: World,
        *,
        faults: float = 0.0,
        slow: float = 0.0,
        closed_doors: float = 0.0,
        versions: bool = False,
    ) -> None:
        self.world = world
        self.versions = versions
        self.faults = faults
        self.slow = slow
        self.closed_doors = closed_doors
        self._entries = Entries()
        self.store = MemoryEngine(self._entries, world.clock)
        self.applied: list[Commit] = []
        self.calls = 0
        self._versions: dict[str, list[Version]] = {}

    @property
    def entries(self) -> dict[str, Any]:
        """What is stored, expired or not, by key."""
        return self._entries._by_key

    def backend(self, **settings: Any) -> SimulatedBackend:
        """Return a new backend, as another process has it."""
        return SimulatedBackend(self, clock=self.world.clock, **settings)

    async def apply(self, commits: list[Commit]) -> Sequence[Outcome | Exception]:
        """Apply at once; nothing comes in between."""
        outcomes: list[Outcome | Exception] = []
        for commit in commits:
            [outcome] = self._entries.apply([commit], self.world.clock)
            outcomes.append(outcome)
            if not isinstance(outcome, Refused | Exception):
                self.applied.append(commit)
                if self.versions:
                    await self._note_versions([write.key for write in commit.writes])
        return outcomes

    async def _note_versions(self, keys: list[str]) -> None:
        step = self.world.loop.steps
        for key, text in zip(keys, await self.store.read(keys), strict=True):
            self._versions.setdefault(key, [Version(-1, None)]).append(
                Version(step, None if text is None else decode(text))
            )

    def during(self, key: str, start: int, end: int) -> list[Any]:
        """Return what the key held at any moment from step ``start`` to step ``end``."""
        assert self.versions, "they were not asked for"
        versions = self._versions.get(key, [Version(-1, None)])
        first = max(0, bisect_right(versions, start - 1, key=lambda version: version.step) - 1)
        return [version.value for version in versions[first:] if version.step <= end]

    async def value(self, key: str) -> Any:
        """Return what is stored now, without a schedule in between."""
        [text] = await self.store.read([key])
        return None if text is None else decode(text)

    def times_applied(self, key: str, text: bytes) -> int:
        """Return how often a commit that wrote ``text`` to ``key`` took effect."""
        return sum((key, text) == write[:2] for commit in self.applied for write in commit.writes)


class SimulatedBackend(DriverBackend):
    """A backend whose engine awaits at points drawn from the seed, on a disk that takes each batch at one moment.

    Attributes:
        frozen: no call gets on while this is set.
        opened: how often the engine was opened.
        closed: how often it was closed.
        swept: how many expired entries it removed.
        is_open: whether it is open now.
    """

    def __init__(self, disk: Disk, **settings: Any) -> None:
        self.disk = disk
        self.frozen = False
        self.opened = self.closed = 0
        self.swept = 0
        self.is_open = False
        super().__init__(**settings)

    @property
    def capabilities(self) -> Capabilities:
        """Those of an engine that several processes use."""
        return Capabilities(atomic="store", expiry="store", durable=True, shared=True, atomic_batches=True)

    def nothing_held(self) -> bool:
        """Tell whether the process remembers nobody who waits or runs."""
        state = state_of(self)
        serving = [task for task in state.tasks if not task.done()]
        held = (state.queues, state.running, state.waits, state.locks.holders, state.retries.holders)
        return not (serving or any(held))

    async def let_go(self) -> None:
        """Disconnect; a moment later nobody waits or runs in this process."""
        await self.disconnect()
        await self._held_nothing()

    async def settle(self) -> None:
        """Wait until everything that was called has ended, as `let_go` does, and stay connected."""
        await self._held_nothing()
        [session] = self._sessions._by_loop.all()
        await session._drain()

    async def _held_nothing(self) -> None:
        if self.nothing_held():
            return
        async with asyncio.timeout(1):
            while not self.nothing_held():  # noqa: ASYNC110 - nothing tells
                await asyncio.sleep(0.001)

    def _make_engine(self) -> SimulatedEngine:
        return SimulatedEngine(self)


class SimulatedEngine(Engine):
    """The engine of a `SimulatedBackend`."""

    refusals: ClassVar[tuple[type[Exception], ...]] = (ConnectionError,)
    sweeps: ClassVar[bool] = True
    readers: ClassVar[int] = 2

    def __init__(self, backend: SimulatedBackend) -> None:
        self._backend = backend
        self._writing = 0

    @property
    def disk(self) -> Disk:
        """That of the schedule that runs."""
        return self._backend.disk

    @property
    def _world(self) -> World:
        return self._backend.disk.world

    # --- hooks -------------------------------------------------------------------------------------------

    async def open(self) -> None:
        await self._world.pause()
        assert not self._backend.is_open, "opened twice"
        if self._world.chance.random() < self.disk.closed_doors:
            raise ConnectionError("the disk is not there")
        self._backend.is_open = True
        self._backend.opened += 1

    async def close(self) -> None:
        assert self._backend.is_open, "closed, but not open"
        self._backend.is_open = False
        self._backend.closed += 1
        await self._world.pause()

    def abandon(self) -> None:
        raise AssertionError("there is one loop and one process")

    async def read(self, keys: list[str]) -> Sequence[bytes | Exception | None]:
        return await self._call(self.disk.store.read, keys)

    async def remaining(self, keys: list[str]) -> Sequence[int | Exception]:
        return await self._call(self.disk.store.remaining, keys)

    async def apply(self, commits: list[Commit]) -> Sequence[Outcome | Exception]:
        self._writing += 1
        assert self._writing == 1, "writes have one lane"
        try:
            return await self._call(self.disk.apply, commits, unclear=LostError)
        finally:
            self._writing -= 1

    async def keys(self, span: KeyQuery) -> list[str]:
        return await self._call(self.disk.store.keys, span, inside=True)

    async def entries(self, span: KeyQuery) -> list[tuple[str, bytes]]:
        return await self._call(self.disk.store.entries, span, inside=True)

    async def sweep(self, rows: int) -> int:
        removed = await self._call(self.disk.store.sweep, rows)
        self._backend.swept += removed
        return removed

    def explain(self, what: str, key: str | None, error: BaseException) -> StorageError:
        return StoreUnavailableError(f"{what}: {error}", key=key)

    async def _call(
        self,
        effect: Callable[[A], Awaitable[R]],
        argument: A,
        unclear: type[Exception] = OSError,
        *,
        inside: bool = False,
    ) -> R:
        """Take time before and after the effect, and fail at one of the two points now and then.

        What is not collected in batches runs ``inside`` of the task of its caller.
        """
        backend = self._backend
        disk = backend.disk
        world = disk.world
        assert backend.is_open, "a hook runs while the engine is closed"
        disk.calls += 1
        fate = world.draw()
        await (self._slowly(inside) if backend.frozen or disk.slow else world.pause(inside=inside))
        if fate < disk.faults / 2:
            locked = NotStartedError("locked")
            raise world.chance.choice((locked, ConnectionError("cut before"), locked))
        result = await effect(argument)
        await (self._slowly(inside) if backend.frozen or disk.slow else world.pause(inside=inside))
        assert backend.is_open, "the engine was closed under a hook"
        if fate > 1 - disk.faults / 2:
            raise unclear("cut after")
        return result

    async def _slowly(self, inside: bool) -> None:
        while self._backend.frozen:  # noqa: ASYNC110 - nothing tells a frozen server
            await asyncio.sleep(0.1)
        await self._world.pause(inside=inside)
        if self.disk.slow and self._world.draw() < self.disk.slow:
            await asyncio.sleep(self._backend.timeout * self._world.chance.choice(SLOWNESS))
