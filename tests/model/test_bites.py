"""The comparison with a dict finds a store with a defect, whatever the defect."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest

from ad_seller.storage.driver.commit import Commit, Outcome, Put, Write
from ad_seller.storage.driver.engine import MISSING
from ad_seller.storage.driver.query import KeyQuery
from ad_seller.storage.memory_backend import MemoryBackend
from ad_seller.storage.records.markers import KEEP
from ad_seller.storage.records.pages import OnCorrupt
from tests.clock import SetClock
from tests.memory_defects import InBulk, MemoryWith
from tests.model.machine import Bench, StoreMachine
from tests.model.suite import LocalEntries, LocalRecords, check


class ForgetsExpectationsEngine(InBulk):
    async def apply(self, commits: list[Commit]) -> Sequence[Outcome | Exception]:
        return await super().apply([commit._replace(expectations=()) for commit in commits])


class LosesLastWriteEngine(InBulk):
    async def apply(self, commits: list[Commit]) -> Sequence[Outcome | Exception]:
        outcomes = await super().apply([commit._replace(writes=commit.writes[:2]) for commit in commits])
        lost = [[True] * (len(commit.writes) - 2) for commit in commits]  # told as if they had been applied
        return [told + more if isinstance(told, list) else told for told, more in zip(outcomes, lost, strict=True)]


class KeepsOldDeadlineEngine(InBulk):
    async def apply(self, commits: list[Commit]) -> Sequence[Outcome | Exception]:
        return await super().apply([commit._replace(writes=tuple(map(_kept, commit.writes))) for commit in commits])


def _kept(write: Write) -> Write:
    return write._replace(ttl_ms=KEEP) if isinstance(write, Put) and write.ttl_ms is None else write


class RepeatsAtTheCursorEngine(InBulk):
    async def entries(self, span: KeyQuery) -> list[tuple[str, bytes]]:
        after = span.after[:-1] if span.after else None
        return await super().entries(span.beyond(after or None))


class MixesUpCaseEngine(InBulk):
    async def keys(self, span: KeyQuery) -> list[str]:
        return sorted({*await super().keys(span), *([] if span.glob.literal else ["A:1"])})


class ExpiredExistsEngine(InBulk):
    async def remaining(self, keys: list[str]) -> Sequence[int]:
        known = self._entries._by_key
        return [
            1 if left == MISSING and key in known else left
            for key, left in zip(keys, await super().remaining(keys), strict=True)
        ]


class ForgetsExpectations(MemoryWith):
    engine = ForgetsExpectationsEngine


class LosesLastWrite(MemoryWith):
    engine = LosesLastWriteEngine


class KeepsOldDeadline(MemoryWith):
    engine = KeepsOldDeadlineEngine


class RepeatsAtTheCursor(MemoryWith):
    engine = RepeatsAtTheCursorEngine


class MixesUpCase(MemoryWith):
    engine = MixesUpCaseEngine


class ExpiredExists(MemoryWith):
    engine = ExpiredExistsEngine


class DropsOddRecords(MemoryBackend):
    async def _entry_search(
        self, query: KeyQuery, on_corrupt: OnCorrupt, cut: int = 0
    ) -> tuple[list[tuple[str, Any]], str | None]:
        items, last = await super()._entry_search(query, on_corrupt, cut)
        return [item for item in items if isinstance(item[1], dict)], last


#: How a rule says that an answer is wrong, or that an error did not come.
FOUND = (AssertionError, pytest.fail.Exception)

DEFECTS: dict[type[MemoryBackend], type[StoreMachine]] = {
    ForgetsExpectations: LocalEntries,
    LosesLastWrite: LocalEntries,
    KeepsOldDeadline: LocalEntries,
    RepeatsAtTheCursor: LocalEntries,
    MixesUpCase: LocalEntries,
    ExpiredExists: LocalEntries,
    DropsOddRecords: LocalRecords,
}


@pytest.mark.timeout(600)  # hypothesis looks for the shortest way to it: minutes, measured and on a slow machine
@pytest.mark.parametrize("broken", DEFECTS)
def test_defect_is_found(broken: type[MemoryBackend]) -> None:
    clock = SetClock()
    with Bench(lambda: broken(clock=clock), clock, fresh=True) as bench, pytest.raises(FOUND):
        check(bench, examples=3_000, machines=[DEFECTS[broken]], told=False)
