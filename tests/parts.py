"""Writes of one moment that take several calls on Redis: a hook before each call, and what a caller was told."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from typing import Any

import pytest

from ad_seller.storage import StorageError, UnknownOutcomeError
from ad_seller.storage.driver.failures import NotSentError
from ad_seller.storage.redis.engine import RedisEngine
from ad_seller.storage.redis.scripts import COMMITS, PUTS
from ad_seller.storage.redis_backend import RedisBackend
from tests.engines import engine_of

Scripts = Sequence[Any]
Send = Callable[[Scripts], Awaitable[list[Any]]]

#: What happens at a call; it gets its scripts and what sends them, and returns the answers.
Event = Callable[[Scripts, Send], Awaitable[list[Any]]]


class Calls:
    """Counts the calls that carry writes, and lets something happen at some of them.

    Attributes:
        sizes: how many scripts each of them carried.
        events: what happens at the call of this number, counted from 1.
    """

    def __init__(self, engine: RedisEngine, patch: pytest.MonkeyPatch) -> None:
        self.sizes: list[int] = []
        self.events: dict[int, Event] = {}
        self._run = engine.router.run
        self._held: asyncio.Event | None = None
        patch.setattr(engine.router, "run", self.run)

    @classmethod
    async def of(cls, store: RedisBackend, patch: pytest.MonkeyPatch) -> Calls:
        """Stand before the calls of a connected store."""
        engine = await engine_of(store)
        assert isinstance(engine, RedisEngine)
        return cls(engine, patch)

    async def together(
        self, store: RedisBackend, opening: Coroutine[Any, Any, None], calls: Sequence[Coroutine[Any, Any, Any]]
    ) -> list[object]:
        """Have the writes of all calls go out as one batch, in this order; return what their callers were told.

        Args:
            store: whose calls they are.
            opening: a write that is held while the others line up behind it, though some read first; not counted.
            calls: each writes once.
        """
        self._held = held = asyncio.Event()
        tasks = []
        for call in (opening, *calls):
            tasks.append(asyncio.create_task(call))
            async with asyncio.timeout(60):
                while (writes := store.stats().writes) is None or writes.waiting < len(tasks):  # noqa: ASYNC110 - nothing tells
                    await asyncio.sleep(0)
        self.sizes = []
        held.set()
        return [told(outcome) for outcome in (await asyncio.gather(*tasks, return_exceptions=True))[1:]]

    async def run(self, script: Any, scripts: Scripts, **settings: Any) -> list[Any]:
        """Stand in for `RedisRouter.run`."""

        async def send(some: Scripts) -> list[Any]:
            return await self._run(script, some, **settings)

        if script not in (COMMITS, PUTS):
            return await send(scripts)
        if self._held is not None:
            held, self._held = self._held, None
            await held.wait()
            return await send(scripts)
        self.sizes.append(len(scripts))
        event = self.events.get(len(self.sizes))
        return await (send(scripts) if event is None else event(scripts, send))


def raising(error: Exception, *, sent: bool) -> Event:
    """Have the call raise, before it is sent or when it was answered."""

    async def event(scripts: Scripts, send: Send) -> list[Any]:
        if sent:
            await send(scripts)
        raise error

    return event


def not_sent(first: int = 0) -> Event:
    """Have only the first scripts of a call be sent, as where the master of the others is gone."""

    async def event(scripts: Scripts, send: Send) -> list[Any]:
        answers = await send(scripts[:first]) if first else []
        return [*answers, *[NotSentError("refused")] * (len(scripts) - first)]

    return event


def told(outcome: object) -> object:
    """Return what a caller got: a value, "unknown", or "nothing was written"."""
    if isinstance(outcome, UnknownOutcomeError):
        return "unknown"
    if isinstance(outcome, StorageError):
        return "not written"
    assert not isinstance(outcome, BaseException), f"no error for callers: {outcome!r}"
    return outcome
