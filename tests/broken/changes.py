"""Backends with one defect each: changes that get lost, alone or together."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any

from ad_seller.storage import Commit, Lease, Put, StorageTimeoutError, Transaction
from ad_seller.storage.driver.commit import Outcome, Refused
from ad_seller.storage.memory.entries import Entries
from ad_seller.storage.memory_backend import MemoryBackend
from tests.memory_defects import InBulk, MemoryWith

from .bases import SevenBackend, found_by, turns

# --- one entry -----------------------------------------------------------------------------------------


@found_by("create_does_not_replace")
class CreateReplaces(SevenBackend):
    async def create(self, key: str, value: Any, ttl: Any = None) -> bool:
        await self.set(key, value, ttl)
        return True


@found_by("one_of_many_creates")
class CreateLooksThenWrites(SevenBackend):
    async def create(self, key: str, value: Any, ttl: Any = None) -> bool:
        if await self.exists(key):
            return False
        await self.set(key, value, ttl)
        return True


@found_by("compare_and_set_looks_at_content_and_type")
class ComparesLoosely(SevenBackend):
    async def compare_and_set(self, key: str, expected: Any, value: Any, *arguments: Any, **options: Any) -> bool:
        current = await self.get(key)
        return await super().compare_and_set(
            key, current if current == expected else expected, value, *arguments, **options
        )


@found_by("get_and_delete_gives_the_value_once")
class GivesAValueTwice(SevenBackend):
    async def get_and_delete(self, key: str) -> Any | None:
        value = await self.get(key)
        await self.delete(key)
        return value


@found_by("increment_counts_every_call")
class IncrementReadsThenWrites(SevenBackend):
    async def increment(self, key: str, by: int = 1, ttl: Any = None) -> int:
        total = (await self.get(key) or 0) + by
        await self.set(key, total)
        return int(total)


@found_by("update_loses_nothing")
class UpdateReadsThenWrites(SevenBackend):
    async def update(self, key: str, change: Any, **options: Any) -> Any:
        value = change(await self.get(key))
        await self.set(key, value)
        return value


@found_by("writes_are_in_the_order_of_their_calls")
class ReordersWrites(MemoryBackend):
    async def set(self, key: str, value: Any, ttl: Any = None) -> None:
        for _ in range(value % 7):
            await asyncio.sleep(0)
        await super().set(key, value, ttl)


@found_by("callers_read_what_they_wrote")
class WritesBehind(SevenBackend):
    async def set(self, key: str, value: Any, ttl: Any = None) -> None:
        self.task = asyncio.ensure_future(super().set(key, value, ttl))


@found_by("many_callers_at_once")
class RefusesACrowd(SevenBackend):
    callers = 0

    async def io(self) -> None:
        self.callers += 1
        try:
            if self.callers > 100:
                raise StorageTimeoutError("no connection became free")
            await super().io()
        finally:
            self.callers -= 1


# --- several entries -----------------------------------------------------------------------------------


class WritingThrough(Transaction):
    async def set(self, key: str, value: Any, ttl: Any = None) -> None:
        await self._store.set(key, value, ttl)  # type: ignore[attr-defined]


@found_by("failed_transaction_writes_nothing")
class TransactionWritesAtOnce(SevenBackend):
    def transaction(self) -> Transaction:
        return WritingThrough(self)


class TornEngine(InBulk):
    async def apply(self, commits: list[Commit]) -> Sequence[Outcome | Exception]:
        outcomes: list[Outcome | Exception] = []
        for commit in commits:
            [outcome] = await super().apply([Commit(commit.expectations, commit.writes[:1])])
            await turns(20)
            rest = Commit((), commit.writes[1:] if not isinstance(outcome, Refused) else ())
            [more] = await super().apply([rest])
            both = isinstance(outcome, list) and isinstance(more, list)
            outcomes.append([*outcome, *more] if both else outcome)  # type: ignore[misc]
        return outcomes


@found_by("nobody_sees_half_a_transaction")
class TornCommit(MemoryWith):
    engine = TornEngine


@found_by("cancelled_transactions_are_all_or_nothing")
class CommitStopsHalfWay(MemoryBackend):
    async def _atomic_commit(self, commit: Commit) -> Outcome:
        outcome = await super()._atomic_commit(Commit(commit.expectations, commit.writes[:1]))
        for write in commit.writes[1:]:
            if not isinstance(outcome, Refused):
                await super()._atomic_commit(Commit((), (write,)))
                outcome = [*outcome, True]
        return outcome


class WritesUntilTheConflictEntries(Entries):
    def _apply_one(self, commit: Commit, now: float) -> Outcome:
        super()._apply_one(Commit((), commit.writes[: len(commit.expectations)]), now)
        return super()._apply_one(commit, now)


@found_by("conflicting_transaction_writes_nothing")
class WritesUntilTheConflict(MemoryWith):
    entries = WritesUntilTheConflictEntries


class CommitsWithoutLookingEntries(Entries):
    def _apply_one(self, commit: Commit, now: float) -> Outcome:
        return super()._apply_one(Commit((), commit.writes), now)


@found_by("no_concurrent_transaction_is_lost")
class CommitsWithoutLooking(MemoryWith):
    entries = CommitsWithoutLookingEntries


class ExpectsWhatIsThereOnlyEntries(Entries):
    def _apply_one(self, commit: Commit, now: float) -> Outcome:
        seen = tuple(one for one in commit.expectations if one.text is not None)
        return super()._apply_one(Commit(seen, commit.writes), now)


@found_by("transaction_notices_what_was_created_or_deleted")
class ExpectsWhatIsThereOnly(MemoryWith):
    entries = ExpectsWhatIsThereOnlyEntries


@found_by("request_that_comes_several_times_runs_once")
class RunsEveryRequest(SevenBackend):
    async def run_once(self, scope: str, key: str, request: Any, work: Any, *more: Any, **options: Any) -> Any:
        return await self.transact(work)


@found_by("cancelled_request_takes_effect_once")
class RecordsTheResultApart(SevenBackend):
    async def run_once(self, scope: str, key: str, request: Any, work: Any, *more: Any, **options: Any) -> Any:
        record = f"idempotency:{scope}:{key}"
        known = await self.get(record)
        if known is None:
            known = {"result": await self.transact(work)}
            await self.set(record, known)
        return known["result"]


@found_by("failed_request_leaves_nothing_and_can_come_again")
class RemembersFailures(SevenBackend):
    async def run_once(self, scope: str, key: str, request: Any, work: Any, *more: Any, **options: Any) -> Any:
        await self.set(f"idempotency:{scope}:{key}", "running")
        return await super().run_once(scope, key, request, work, *more, **options)


class FenceStandsStillEntries(Entries):
    def _write(self, write: Any, now: float) -> bool:
        if isinstance(write, Put) and write.key.startswith("lease_fence:"):
            return True
        return super()._write(write, now)


@found_by("lease_has_one_holder_and_a_growing_fence")
class FenceStandsStill(MemoryWith):
    entries = FenceStandsStillEntries


class Unchecked(Lease):
    async def _take(self) -> bool:
        await self._store.set(self.key, "mine")  # type: ignore[attr-defined]
        self.fence, self._deadline = self.fence + 1, float("inf")
        return True


@found_by("lease_has_one_holder_and_a_growing_fence")
class LeaseForEverybody(MemoryBackend):
    def lease(self, name: str, ttl: Any, *, wait: float = 0.0) -> Lease:
        return Unchecked(self, name, ttl, wait)


class CommitsWithoutTheLeaseEntries(Entries):
    def _apply_one(self, commit: Commit, now: float) -> Outcome:
        others = tuple(one for one in commit.expectations if not one.key.startswith("lease:"))
        return super()._apply_one(Commit(others, commit.writes), now)


@found_by("lost_lease_commits_nothing")
class CommitsWithoutTheLease(MemoryWith):
    entries = CommitsWithoutTheLeaseEntries


@found_by("one_of_many_equal_steps_is_taken")
class StepReadsThenWrites(SevenBackend):
    async def update(self, key: str, change: Any, **options: Any) -> Any:
        value = change(await self.get(key))
        await asyncio.sleep(0)
        await self.set(key, value)
        return value


@found_by("session_and_its_index_entry_are_saved_together")
class SavesTheSessionOnly(SevenBackend):
    async def delete_buyer_session(self, session_id: str, pricing_key: str) -> bool:
        return await self.delete_session(session_id)
