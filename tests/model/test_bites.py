"""The comparison with a dict finds a store with a defect, whatever the defect."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest

from ad_seller.storage.driver.commit import Commit, Outcome, Put, Write
from ad_seller.storage.driver.engine import MISSING
from ad_seller.storage.driver.query import KeyQuery
from ad_seller.storage.memory_backend import MemoryBackend
from ad_seller.storage.records.filters import Condition
from ad_seller.storage.records.markers import KEEP
from ad_seller.storage.records.pages import OnCorrupt
from tests.clock import SetClock
from tests.model.machine import Bench, StoreMachine
from tests.model.suite import LocalEntries, LocalRecords, check


class ForgetsExpectations(MemoryBackend):
    async def _apply(self, commits: list[Commit]) -> Sequence[Outcome | Exception]:
        return await super()._apply([commit._replace(expectations=()) for commit in commits])


class LosesLastWrite(MemoryBackend):
    async def _apply(self, commits: list[Commit]) -> Sequence[Outcome | Exception]:
        return await super()._apply([commit._replace(writes=commit.writes[:2]) for commit in commits])


class KeepsOldDeadline(MemoryBackend):
    async def _apply(self, commits: list[Commit]) -> Sequence[Outcome | Exception]:
        return await super()._apply(
            [commit._replace(writes=tuple(map(_kept, commit.writes))) for commit in commits]
        )


def _kept(write: Write) -> Write:
    return write._replace(ttl_ms=KEEP) if isinstance(write, Put) and write.ttl_ms is None else write


class RepeatsAtTheCursor(MemoryBackend):
    async def _entries(self, span: KeyQuery) -> list[tuple[str, bytes]]:
        after = span.after[:-1] if span.after else None
        return await super()._entries(KeyQuery(span.glob, after or None, span.limit, span.where))


class MixesUpCase(MemoryBackend):
    async def _keys(self, span: KeyQuery) -> list[str]:
        return sorted({*await super()._keys(span), *([] if span.glob.literal else ["A:1"])})


class ExpiredExists(MemoryBackend):
    async def _remaining(self, keys: list[str]) -> Sequence[int]:
        known = self._entries_by_key
        return [
            1 if left == MISSING and key in known else left
            for key, left in zip(keys, await super()._remaining(keys), strict=True)
        ]


class DropsOddRecords(MemoryBackend):
    async def _entity_scan(
        self, prefix: str, where: tuple[Condition, ...], on_corrupt: OnCorrupt
    ) -> list[tuple[str, Any]]:
        items = await super()._entity_scan(prefix, where, on_corrupt)
        return [item for item in items if isinstance(item[1], dict)]


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


@pytest.mark.parametrize("broken", DEFECTS)
def test_defect_is_found(broken: type[MemoryBackend]) -> None:
    clock = SetClock()
    with Bench(lambda: broken(clock=clock), clock, fresh=True) as bench, pytest.raises(FOUND):
        check(bench, examples=3_000, machines=[DEFECTS[broken]], told=False)
