"""Backends with one defect each: callers that give up, restarts, other processes, crashes."""

from __future__ import annotations

import asyncio
import contextlib
from collections import deque
from collections.abc import Mapping
from dataclasses import replace
from functools import partial
from typing import Any

from ad_seller.storage import Capabilities
from ad_seller.storage.memory_backend import MemoryBackend
from ad_seller.storage.sqlite_backend import SQLiteBackend

from .bases import SevenBackend, found_by, turns

# --- callers that give up ------------------------------------------------------------------------------


@found_by("storm_of_cancellations")
class MixesReplies(SevenBackend):
    """Replies come in the order of requests; a cancelled caller leaves its own for the next one."""

    def __init__(self) -> None:
        super().__init__()
        self.replies: deque[Any] = deque()

    async def get(self, key: str) -> Any | None:
        found = await self.live(key)
        self.replies.append(None if found is None else found[0])
        await turns(20)
        reply = self.replies.popleft()
        return None if reply is None else self.load(reply, key)


@found_by("cancelled_writes_do_not_come_back")
class CancelledWritesComeLate(MemoryBackend):
    """What was cancelled is written all the same, after the write that follows it."""

    late: tuple[Any, ...] = ()

    async def set(self, key: str, value: Any, ttl: Any = None) -> None:
        try:
            await turns(20)
        except asyncio.CancelledError:
            self.late = (key, value, ttl)
            raise
        await super().set(key, value, ttl)
        late, self.late = self.late, ()
        if late:
            await super().set(*late)


@found_by("storm_of_cancellations", hangs=True)
class KeepsALockAfterCancellation(SevenBackend):
    def __init__(self) -> None:
        super().__init__()
        self.lock = asyncio.Lock()

    async def io(self) -> None:
        await self.lock.acquire()
        await super().io()
        self.lock.release()


@found_by("cancelled_batches_are_all_or_nothing")
class HalfABatchAfterCancellation(MemoryBackend):
    async def set_many(self, mapping: Mapping[str, Any], ttl: Any = None) -> None:
        for key in mapping:
            await super().set_many({key: mapping[key]}, ttl)


# --- restarts and other processes ----------------------------------------------------------------------


@found_by("entries_are_there_after_reconnect")
class ForgetsWhatItDeclaresDurable(MemoryBackend):
    @property
    def capabilities(self) -> Capabilities:
        return replace(super().capabilities, durable=True)


@found_by("declares_durable_if_it_is", is_silent=True)
class DurableButSilent(SQLiteBackend):
    @property
    def capabilities(self) -> Capabilities:
        return replace(super().capabilities, durable=False)


@found_by("declares_shared_if_it_is", is_silent=True)
class SharedButSilent(SQLiteBackend):
    @property
    def capabilities(self) -> Capabilities:
        return replace(super().capabilities, shared=False)


@found_by("declares_its_atomic_scope", is_silent=True)
class AtomicButSilent(SQLiteBackend):
    @property
    def capabilities(self) -> Capabilities:
        return replace(super().capabilities, atomic="process")


@found_by("declares_who_knows_the_expiry")
class KnowsTheExpiryButSilent(SQLiteBackend):
    @property
    def capabilities(self) -> Capabilities:
        return replace(super().capabilities, expiry="process")


@found_by("declares_atomic_batches_if_they_are", is_silent=True)
class AtomicBatchesButSilent(SQLiteBackend):
    @property
    def capabilities(self) -> Capabilities:
        return replace(super().capabilities, atomic_batches=False)


@found_by("no_increment_of_another_process_is_lost")
class AtomicInOneProcessOnly(SQLiteBackend):
    async def increment(self, key: str, by: int = 1, ttl: Any = None) -> int:
        total = (await self.get(key) or 0) + by
        await asyncio.sleep(0.002)  # so that the others read what this one has read
        await self.set(key, total)
        return int(total)


@found_by("two_instances_see_each_other")
class StaleCache(SQLiteBackend):
    cache: dict[str, Any]

    async def get(self, key: str) -> Any | None:
        if key not in self.__dict__.setdefault("cache", {}):
            self.cache[key] = await super().get(key)
        return self.cache[key]

    async def set(self, key: str, value: Any, ttl: Any = None) -> None:
        await super().set(key, value, ttl)
        self.__dict__.setdefault("cache", {})[key] = value


@found_by("expiry_survives_a_restart")
class ForgetsTheExpiryAtTheEnd(SQLiteBackend):
    async def disconnect(self) -> None:
        with contextlib.suppress(Exception):
            for key in await self.keys():
                await self.persist(key)
        await super().disconnect()


@found_by("acknowledged_writes_of_a_killed_process_are_there")
class AcknowledgesTooEarly(SQLiteBackend):
    async def set(self, key: str, value: Any, ttl: Any = None) -> None:
        loop = asyncio.get_running_loop()
        loop.call_later(0.05, lambda: loop.create_task(self.set_many({key: value}, ttl)))
        await asyncio.sleep(0.001)


@found_by("killed_process_leaves_no_half_of_a_batch")
class BatchInTwoCommits(SQLiteBackend):
    """The second half follows so late that nobody can kill the process after it."""

    async def set_many(self, mapping: Mapping[str, Any], ttl: Any = None) -> None:
        entries = list(mapping.items())
        await super().set_many(dict(entries[:20]), ttl)
        follows = partial(super().set_many, dict(entries[20:]), ttl)
        loop = asyncio.get_running_loop()
        loop.call_later(3600, lambda: loop.create_task(follows()))


@found_by("forked_child_works_or_gets_a_clear_error", hangs=True)
class HangsAfterFork(SevenBackend):
    owner: Any = None

    async def io(self) -> None:
        task = asyncio.current_task()
        self.owner = self.owner or (task and task.get_loop())
        if self.owner is not asyncio.get_running_loop():
            await asyncio.Event().wait()  # for an answer that the parent's event loop got
        await super().io()
