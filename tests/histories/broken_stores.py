"""Stores that break one promise each, on a real SQLite file: histories recorded on them must be rejected."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Callable
from typing import Any

from ad_seller.storage import NotApplied, Transaction
from ad_seller.storage.driver.commit import Commit, Delete, Put, Touch
from ad_seller.storage.errors import StorageTimeoutError
from ad_seller.storage.records.expiry import TTL
from ad_seller.storage.sqlite_backend import SQLiteBackend


class LostUpdates(SQLiteBackend):
    """Reads, computes and writes, with nothing that keeps others out."""

    async def update(self, key: str, change: Callable[[Any], Any], **settings: Any) -> Any:
        value = change(await self.get(key))
        await asyncio.sleep(0.005)  # so that others read what this one has read
        await self.set(key, value)
        return value

    async def increment(self, key: str, by: int = 1, ttl: TTL | None = None) -> int:
        return int(await self.update(key, lambda current: (current or 0) + by))


class StaleReads(SQLiteBackend):
    """Remembers what it has read."""

    async def get(self, key: str) -> Any | None:
        remembered = self.__dict__.setdefault("_remembered", {})
        if key not in remembered or random.random() < 0.5:
            remembered[key] = await super().get(key)
        return remembered[key]


class TornTransactions(SQLiteBackend):
    """Writes each entry of a transaction by itself."""

    async def transact(self, work: Callable[[Transaction], Awaitable[Any]], *, attempts: int = 1) -> Any:
        transaction: Any = self
        return await work(transaction)


class TornBatches(SQLiteBackend):
    """Writes the entries of a batch one after the other."""

    async def set_many(self, mapping: Any, ttl: TTL | None = None) -> None:
        for key, value in mapping.items():
            await self.set(key, value, ttl)
            await asyncio.sleep(0.002)


class EarlyAnswers(SQLiteBackend):
    """Says that an entry is stored, and stores it a moment later."""

    async def set(self, key: str, value: Any, ttl: TTL | None = None) -> None:
        async def later() -> None:
            await asyncio.sleep(0.003)
            await super(EarlyAnswers, self).set(key, value, ttl)

        tasks = self.__dict__.setdefault("_late", set())
        task = asyncio.create_task(later())
        tasks.add(task)
        task.add_done_callback(tasks.discard)

    async def disconnect(self) -> None:
        await asyncio.gather(*self.__dict__.get("_late", ()))
        await super().disconnect()


class DoubleIncrements(SQLiteBackend):
    """Now and then applies an increment a second time, as after a retry."""

    async def increment(self, key: str, by: int = 1, ttl: TTL | None = None) -> int:
        total = await super().increment(key, by, ttl)
        if random.random() < 0.5:
            await super().increment(key, by, ttl)
        return total


class ResurrectedDeletes(SQLiteBackend):
    """Now and then puts back what was deleted."""

    async def delete(self, key: str) -> bool:
        value = await self.get(key)
        existed = await super().delete(key)
        if existed and value is not None and random.random() < 0.5:
            await self.create(key, value)
        return existed


class FailuresThatWrite(SQLiteBackend):
    """Says now and then that nothing was written, although it was."""

    async def set(self, key: str, value: Any, ttl: TTL | None = None) -> None:
        await super().set(key, value, ttl)
        if random.random() < 0.2:
            raise StorageTimeoutError(f"Cannot write {key!r}: too late. Nothing was written.", key=key)


class ShortLives(SQLiteBackend):
    """Takes nine tenths off every time to live."""

    async def set(self, key: str, value: Any, ttl: TTL | None = None) -> None:
        await super().set(key, value, ttl * 0.1 if isinstance(ttl, float) else ttl)


class LongLives(SQLiteBackend):
    """Adds a minute to every time to live."""

    async def set(self, key: str, value: Any, ttl: TTL | None = None) -> None:
        await super().set(key, value, ttl + 60 if isinstance(ttl, float) else ttl)


class ForgottenNotes(SQLiteBackend):
    """Makes an effect anew where it was noted and nobody knows what became of it."""

    async def effect(self, scope: str, name: str, call: Any, **terms: Any) -> Any:
        async def hope(effect_id: str) -> NotApplied:
            return NotApplied()

        return await super().effect(scope, name, call, **{**terms, "reconcile": hope})


class OtherAnswers(SQLiteBackend):
    """Answers a repeat now and then with what it was asked this time, and not with what was made."""

    async def effect(self, scope: str, name: str, call: Any, **terms: Any) -> Any:
        made = await super().effect(scope, name, call, **terms)
        return ["another"] if random.random() < 0.5 else made


class _Blind(SQLiteBackend):
    """Applies some commits whatever they expect."""

    def _is_blind(self, commit: Commit) -> bool:
        raise NotImplementedError

    async def _atomic_commit(self, commit: Commit) -> Any:
        if self._is_blind(commit):
            commit = commit._replace(expectations=())
        return await super()._atomic_commit(commit)


class SharedLanes(_Blind):
    """Gives a lane of an outbox to a worker although another one has it."""

    def _is_blind(self, commit: Commit) -> bool:
        return any(isinstance(one, Put) and one.key.startswith("outbox_lane:") for one in commit.writes)


class LateAcknowledgements(SharedLanes):
    """Believes a worker that has lost its lane, which happens all the time."""

    def _is_blind(self, commit: Commit) -> bool:
        is_late = any(isinstance(one, Touch) and one.key.startswith("outbox_lane:") for one in commit.writes)
        return is_late or super()._is_blind(commit)


class LostMessages(SQLiteBackend):
    """Keeps an acknowledgement of a message to itself, and takes away another one with it."""

    async def _atomic_commit(self, commit: Commit) -> Any:
        gone = [one.key for one in commit.writes if isinstance(one, Delete) and one.key.startswith("outbox:")]
        outcome = await super()._atomic_commit(commit)
        if gone and random.random() < 0.5:
            await self.delete_many([key for key in await self.keys("outbox:*") if key not in gone][:1])
        return outcome


#: Those that break what is promised about other systems, and how that is told.
OUTSIDE: tuple[tuple[type[SQLiteBackend], str], ...] = (
    (ForgottenNotes, "made twice"),
    (OtherAnswers, "no order explains"),
    (SharedLanes, "at the same time"),
    (LateAcknowledgements, "acknowledged"),
    (LostMessages, "lost"),
)

#: Those that break what is promised about time.
UNTIMELY: tuple[type[SQLiteBackend], ...] = (ShortLives, LongLives)

BROKEN: tuple[type[SQLiteBackend], ...] = (
    LostUpdates,
    StaleReads,
    TornTransactions,
    TornBatches,
    EarlyAnswers,
    DoubleIncrements,
    ResurrectedDeletes,
    FailuresThatWrite,
)
